package socket

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/internal/loglimit"
)

// AcceptPause is how long a Listener stops accepting after an error.
const AcceptPause = 100 * time.Millisecond

const maxAccepts = 64 // connections accepted by one call of AcceptReady

// Listener is the listening socket of an event loop. When descriptors run out it uses its
// Reserve to close each connection that cannot be served, so that the client learns of it and
// the loop does not spin. If that fails too, it pauses: the loop must not watch it for a while.
// It belongs to the loop's goroutine.
type Listener struct {
	FD          int // -1 after Close
	Addr        netip.AddrPort
	LogLimit    loglimit.Limit // for errors that each connection may cause
	PausedUntil time.Time      // when a pause is over; zero: it does not pause

	cfg     backends.Config
	reserve *Reserve
}

// ListenLoop opens a Listener. See ListenFD for share.
func ListenLoop(cfg backends.Config, share bool) (*Listener, error) {
	fd, addr, err := ListenFD(cfg, share)
	if err != nil {
		return nil, err
	}
	reserve, err := NewReserve()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Listener{FD: fd, Addr: addr, cfg: cfg, reserve: reserve}, nil
}

// Close closes the socket. It may be called again. A poller that watches the socket has to
// forget it before.
func (l *Listener) Close() {
	if l.FD < 0 {
		return
	}
	_ = unix.Close(l.FD)
	l.FD = -1
	l.PausedUntil = time.Time{}
	l.reserve.Close()
}

// AcceptReady accepts the connections that wait in the kernel, up to a limit, and calls join for
// each. It returns false if it failed and pauses now.
func (l *Listener) AcceptReady(join func(fd int, peer netip.AddrPort)) bool {
	for range maxAccepts {
		fd, peer, err := Accept(l.FD)
		switch {
		case err == nil:
			l.cfg.Counters.Accepts.Add(1)
			join(fd, peer)
			continue
		case err == unix.EAGAIN:
			return true
		}
		l.cfg.Counters.AcceptErrors.Add(1)
		if !Exhausted(err) || !l.reserve.TurnAway(l.FD) {
			l.Pause(err)
			return false
		}
		l.cfg.Counters.NoDescriptors.Add(1)
	}
	return true
}

// Pause begins a pause because of err.
func (l *Listener) Pause(err error) {
	l.LogLimit.Warn(l.cfg.Log, "no connections are accepted for a while", "for", AcceptPause, "err", err)
	l.PausedUntil = time.Now().Add(AcceptPause)
}

// Paused says whether the listener pauses, even if its time is over.
func (l *Listener) Paused() bool { return !l.PausedUntil.IsZero() }

// PauseOver says whether the time of a pause is over. The loop then watches the listener again,
// and calls Resume.
func (l *Listener) PauseOver(now time.Time) bool { return l.Paused() && !now.Before(l.PausedUntil) }

// Resume ends a pause.
func (l *Listener) Resume() { l.PausedUntil = time.Time{} }
