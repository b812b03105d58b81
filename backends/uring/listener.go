package uring

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/socket"
)

// listener is the loop's listening socket.
type listener struct {
	*socket.Listener
	watched  bool // a poll is in flight
	stopping bool // no more connections are accepted
}

// watchListener submits a poll of the listener.
func (l *loop) watchListener() {
	l.listener.watched = true
	l.ring.Poll(l.listener.FD, unix.POLLIN, userData(l.listener.FD, forListener))
}

// stopListening accepts no more connections, and says whether the listener is closed. It is
// closed when its poll has ended, because a poll in flight would keep the port in use.
func (l *loop) stopListening() bool {
	s := &l.listener
	if !s.stopping {
		s.stopping = true
		l.unwatchListener()
	}
	if !s.watched {
		s.Close()
	}
	return s.FD < 0
}

// unwatchListener cancels the poll of the listener.
func (l *loop) unwatchListener() {
	if s := &l.listener; s.watched {
		l.ring.Cancel(userData(s.FD, forListener), userData(s.FD, forStopListener))
	}
}

// listenerReady accepts the connections that wait, and polls for more, unless accepting pauses.
func (l *loop) listenerReady() {
	l.listener.watched = false
	if !l.listener.stopping && l.listener.AcceptReady(l.join) {
		l.watchListener()
	}
}

// join gives an accepted socket to the loop with the fewest connections.
func (l *loop) join(fd int, peer netip.AddrPort) {
	if l.member.Assign(loopgroup.Arrival{FD: fd, Peer: peer}) {
		l.adopt(fd, peer)
	}
}

// resumeAccepting polls the listener again when its pause is over.
func (l *loop) resumeAccepting(now time.Time) {
	if !l.listener.PauseOver(now) {
		return
	}
	l.listener.Resume()
	if !l.listener.stopping {
		l.watchListener()
	}
}
