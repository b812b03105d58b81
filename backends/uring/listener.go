package uring

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/socket"
	"chatbench/internal/loglimit"
)

const (
	restTime    = 100 * time.Millisecond // how long a listener rests when accepting is of no use for now
	turnAccepts = 64                     // connections taken in a turn
)

// listener accepts connections. When descriptors run out it gives up its
// reserve for a moment to take the connection and close it, so that the
// client is told at once and the loop does not spin on it; when even that
// fails it is not watched for a while.
type listener struct {
	fd       int // -1 once closed
	addr     netip.AddrPort
	reserve  *socket.Reserve
	watched  bool      // a poll is in flight
	stopping bool      // takes no more connections
	until    time.Time // when a rest ends; zero: not resting
	lines    loglimit.Limit
}

func (l *listener) resting() bool { return !l.until.IsZero() }

func listen(cfg backends.Config, share bool) (*listener, error) {
	fd, addr, err := socket.ListenFD(cfg, share)
	if err != nil {
		return nil, err
	}
	reserve, err := socket.NewReserve()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &listener{fd: fd, addr: addr, reserve: reserve}, nil
}

// close gives the socket up. It may be called again.
func (l *listener) close() {
	if l.fd < 0 {
		return
	}
	_ = unix.Close(l.fd)
	l.fd = -1
	l.until = time.Time{}
	l.reserve.Close()
}

// watchListener asks to be told when a connection waits.
func (l *loop) watchListener() {
	l.listener.watched = true
	l.ring.Poll(l.listener.fd, unix.POLLIN, user(l.listener.fd, forListener))
}

// stopListening takes no more connections, and says whether the listener is closed:
// that is when its poll has ended, which would keep the port in use.
func (l *loop) stopListening() bool {
	s := l.listener
	if !s.stopping {
		s.stopping = true
		l.unwatchListener()
	}
	if !s.watched {
		s.close()
	}
	return s.fd < 0
}

// unwatchListener cancels the poll of the listener.
func (l *loop) unwatchListener() {
	if s := l.listener; s.watched {
		l.ring.Cancel(user(s.fd, forListener), user(s.fd, forStopListener))
	}
}

// listenerReady takes the connections that wait, and waits for others.
func (l *loop) listenerReady() {
	s := l.listener
	s.watched = false
	if s.stopping {
		return
	}
	l.accept()
	if !s.resting() {
		l.watchListener()
	}
}

// accept takes the connections that wait, at most turnAccepts of them.
func (l *loop) accept() {
	for range turnAccepts {
		fd, peer, err := socket.Accept(l.listener.fd)
		switch {
		case err == nil:
			l.cfg.Counters.Accepts.Add(1)
			if l.member.Place(loopgroup.Arrival{FD: fd, Peer: peer}) {
				l.adopt(fd, peer)
			}
			continue
		case err == unix.EAGAIN:
			return
		}
		l.cfg.Counters.AcceptErrors.Add(1)
		if !socket.Exhausted(err) || !l.listener.reserve.TurnAway(l.listener.fd) {
			l.listener.lines.Warn(l.cfg.Log, "accepting rests", "for", restTime, "err", err)
			l.listener.until = time.Now().Add(restTime)
			return
		}
		l.cfg.Counters.NoDescriptors.Add(1)
	}
}

// endRest watches the listener again when it has rested long enough.
func (l *loop) endRest(now time.Time) {
	if now.Before(l.listener.until) {
		return
	}
	l.listener.until = time.Time{}
	if !l.listener.stopping {
		l.watchListener()
	}
}
