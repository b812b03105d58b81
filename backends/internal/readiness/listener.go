package readiness

import (
	"net/netip"
	"time"

	"chatbench/backends/internal/loopgroup"
)

// accept accepts the connections that wait. If that fails the listener is not watched for a
// while.
func (l *loop) accept() {
	if !l.listener.AcceptReady(l.join) {
		l.poller.Remove(newID(l.listener.FD, 0))
	}
}

// join gives an accepted socket to the loop with the fewest connections.
func (l *loop) join(fd int, peer netip.AddrPort) {
	if l.member.Assign(loopgroup.Arrival{FD: fd, Peer: peer}) {
		l.adopt(fd, peer)
	}
}

// resumeAccepting watches the listener again when its pause is over.
func (l *loop) resumeAccepting(now time.Time) {
	if l.listener.PauseOver(now) && l.poller.Add(newID(l.listener.FD, 0)) == nil {
		l.listener.Resume()
	}
}

// stopListening closes the listener. It may be called again.
func (l *loop) stopListening() {
	if l.listener.FD >= 0 {
		l.poller.Remove(newID(l.listener.FD, 0))
		l.listener.Close()
	}
}
