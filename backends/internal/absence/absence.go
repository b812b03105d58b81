// Package absence finds out that a client has left while its transport does not
// read it, because its session is Held, and bounds how long its input is worked
// through then. It is for transports that stop reading; the others are told.
//
// A FIN that has not come is not seen: the client's kernel keeps it back behind what
// the server's has no room for. Of 300 KB, sent by a client that closed at once and
// was not read, Linux 6.18 had no FIN; of 100 KB it had. Such a client stays until it
// has been read so far, at the rate that flood control allows.
//
// It refuses to wait, to read and to end anything: a transport looks about once in
// Every, and only while it does not read. A Watch belongs to one goroutine.
package absence

import (
	"time"

	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// Every is how often a transport looks at a client it does not read.
const Every = time.Second

// Watch is what is known of one client. The zero Watch knows nothing.
type Watch struct {
	until  time.Time // when a client that has left is let go of; zero: it was there
	listed bool      // is on a List
}

// Look looks at the client of a connection. over says that its time is over, and
// for what reason its session is to leave: after a FIN when farewell has passed,
// after a reset at once. reset says that a write has told of that already.
func (w *Watch) Look(fd int, reset bool, now time.Time, farewell time.Duration) (why core.Reason, over bool) {
	if w.Noticed() {
		return w.Over(now)
	}
	how := socket.PeerEnding(fd)
	switch {
	case how == socket.Stays:
		return 0, false
	case how == socket.Reset, how == socket.Ended && reset:
		return core.ReasonReset, true
	}
	w.until = now.Add(farewell)
	return 0, false
}

// Over is Look for a client that may be read again: it finds nothing new.
func (w *Watch) Over(now time.Time) (why core.Reason, over bool) {
	return core.ReasonEOF, w.Noticed() && !now.Before(w.until)
}

// Noticed says whether the client has left, as far as is known.
func (w *Watch) Noticed() bool { return !w.until.IsZero() }

// Next is when to look again.
func (w *Watch) Next(now time.Time) time.Time {
	next := now.Add(Every)
	if w.Noticed() && w.until.Before(next) {
		return w.until
	}
	return next
}
