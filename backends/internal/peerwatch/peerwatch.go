// Package peerwatch detects that a client has left while its transport does not read it,
// because its session is Held, and limits how long its input may still be worked through. It
// is for transports that stop reading; the others learn of the end from a read.
//
// It sees only a FIN that has arrived. The client's kernel sends none before the server's
// kernel has room for everything in front of it: when a client that was not read sent 300 KB
// and closed at once, Linux 6.18 showed no FIN; with 100 KB it did. Such a client stays until
// enough of its input has been read, at the rate that flood control allows.
//
// It does not wait, read or end anything: a transport checks about once in Interval, and only
// while it does not read. A Watch belongs to one goroutine.
package peerwatch

import (
	"time"

	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// Interval is how often a transport checks a client that it does not read.
const Interval = time.Second

// Watch is what is known of one client. The zero Watch is that of a client that has not left.
type Watch struct {
	until  time.Time // when the time of a client that has left is over; zero: it has not left
	listed bool      // is on a List
}

// Check asks the kernel whether the client of a connection has left. expired means that its
// time is over, and that its session is to leave for the reason why: after a FIN when farewell
// has passed, after a reset at once. reset says that a write has already reported a reset.
func (w *Watch) Check(fd int, reset bool, now time.Time, farewell time.Duration) (why core.Reason, expired bool) {
	if w.Left() {
		return w.Expired(now)
	}
	how := socket.PeerEnding(fd)
	switch {
	case how == socket.Connected:
		return 0, false
	case how == socket.Reset, how == socket.AlreadyReported && reset:
		return core.ReasonReset, true
	}
	w.until = now.Add(farewell)
	return 0, false
}

// Expired is Check without asking the kernel, for a client that may be read again.
func (w *Watch) Expired(now time.Time) (why core.Reason, expired bool) {
	return core.ReasonEOF, w.Left() && !now.Before(w.until)
}

// Left says whether Check has found that the client has left.
func (w *Watch) Left() bool { return !w.until.IsZero() }

// NextCheck is when to check again.
func (w *Watch) NextCheck(now time.Time) time.Time {
	next := now.Add(Interval)
	if w.Left() && w.until.Before(next) {
		return w.until
	}
	return next
}
