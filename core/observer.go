package core

import (
	"net/netip"
	"time"
)

// Event is what an operator's log is told of one client: that it has logged in, or
// that its connection ends. A login that is denied is such an end, with ReasonDenied.
type Event struct {
	Granted bool // it has logged in; otherwise it ends
	Peer    netip.AddrPort
	// Name is who it is, and Folded its name as names are compared; "" for one that
	// never came into the room. With ReasonDenied it is the name that was tried, which
	// may be anything, a password too: log it only if there is such a user.
	Name, Folded string
	Reason       Reason        // why it ends
	Text         string        // with ReasonDenied: what the client is told
	Stayed       time.Duration // how long it was in the room
}

// observe tells of a session that was granted, or has begun to end.
func (r *Room) observe(s *Session, e Event) {
	if r.cfg.Observe != nil {
		e.Peer = s.peer
		r.cfg.Observe(e)
	}
}
