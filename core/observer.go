package core

import (
	"net/netip"
	"time"
)

// Event is an event for an operator's log: a client has logged in, or its connection
// ends. A login that is denied is an end with ReasonDenied.
type Event struct {
	Granted bool // the client has logged in; otherwise its connection ends
	Peer    netip.AddrPort
	// Name is the client's name, and Folded the name as it is compared; "" if it never
	// entered the room. With ReasonDenied it is the name that was tried, which may be
	// anything, even a password: log it only if there is such a user.
	Name, Folded string
	Reason       Reason        // why the connection ends
	Text         string        // with ReasonDenied: the reason sent to the client
	Stayed       time.Duration // how long the client was in the room
}

// observe reports a session that was granted, or has begun to close.
func (r *Room) observe(s *Session, e Event) {
	if r.cfg.Observe != nil {
		e.Peer = s.peer
		r.cfg.Observe(e)
	}
}
