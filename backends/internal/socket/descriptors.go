package socket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// RaiseFileLimit raises the number of descriptors this process may have to
// the hard limit, and says what it is now.
func RaiseFileLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("socket: read the file limit: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("socket: raise the file limit to %d (ulimit -n): %w", limit.Max, err)
		}
	}
	const plenty = 1 << 30 // of RLIM_INFINITY nobody can make use
	return int(min(limit.Cur, plenty)), nil
}

// Exhausted says whether err means that the process, or the system, is out of
// descriptors.
func Exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// Reserve holds one descriptor back for the time when there are no others:
// given up for a moment, it lets a connection that cannot be served be
// accepted and closed. Otherwise such a connection would stay in the queue,
// keep a level-triggered loop awake, and its client in the dark.
type Reserve struct{ fd int }

// NewReserve opens a Reserve.
func NewReserve() (*Reserve, error) {
	r := &Reserve{fd: -1}
	if err := r.fill(); err != nil {
		return nil, fmt.Errorf("socket: no descriptor to hold in reserve: %w", err)
	}
	return r, nil
}

func (r *Reserve) fill() (err error) {
	r.fd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// TurnAway accepts one connection from a listening descriptor and closes it.
// It is false if that cannot be done now: nobody is there, or another part of
// the process was quicker to take the descriptor. The caller then waits
// a while before it accepts again.
func (r *Reserve) TurnAway(listener int) bool {
	if r.fd < 0 && r.fill() != nil {
		return false
	}
	unix.Close(r.fd)
	conn, _, err := Accept(listener)
	if err == nil {
		unix.Close(conn)
	}
	r.fill()
	return err == nil
}

// Close gives the descriptor back.
func (r *Reserve) Close() {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}
