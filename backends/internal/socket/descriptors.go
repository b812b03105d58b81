package socket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// RaiseFileLimit raises the limit of descriptors of this process to the hard limit, and returns it.
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
	const plenty = 1 << 30 // RLIM_INFINITY would overflow an int
	return int(min(limit.Cur, plenty)), nil
}

// Exhausted says whether err means that the process or the system is out of descriptors.
func Exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// Reserve is an open descriptor for the time when no others are free. It is closed for a moment so
// that a connection that cannot be served can be accepted and closed. Otherwise such a connection would
// stay in the kernel's queue, keep a level-triggered loop awake, and leave its client without an
// answer.
type Reserve struct{ fd int }

// NewReserve opens a Reserve.
func NewReserve() (*Reserve, error) {
	r := &Reserve{fd: -1}
	if err := r.fill(); err != nil {
		return nil, fmt.Errorf("socket: cannot open a descriptor to hold in reserve: %w", err)
	}
	return r, nil
}

func (r *Reserve) fill() (err error) {
	r.fd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// TurnAway accepts one connection from a listening descriptor and closes it. It returns false if that
// fails: no connection waits, or another part of the process has taken the descriptor meanwhile. The
// caller then has to wait before it accepts again.
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

// Close closes the descriptor.
func (r *Reserve) Close() {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}
