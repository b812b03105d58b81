package core

import (
	"fmt"

	"chatbench/core/wire"
)

// end begins the end of a session: it is out of the room at once. final is
// what its client is still sent, after all that was said until now; nil for
// nothing at all, neither that nor the log. Only the first call counts.
func (r *Room) end(s *Session, why Reason, final []byte) {
	if s.closing.Load() != 0 {
		return
	}
	m := &s.mail
	m.ending, m.final, m.limit, m.aborted = true, final, r.log.end.Load(), final == nil
	wasIn := s.state == StateGrant
	r.unlist(s)
	s.state = StateError
	if why == ReasonDenied || why.TurnedAway() {
		s.state = StateDenied
	}
	s.closing.Store(1 + uint32(why))
	s.changed.Store(true)
	if s.pooled && !s.left {
		s.waker.Wake(s)
	}
	if wasIn {
		delete(r.names, s.folded)
		r.announce(s.name + " has left")
	}
}

// unlist takes a session off the list it is on.
func (r *Room) unlist(s *Session) {
	if !s.pooled {
		return
	}
	list := &r.pending
	if s.state == StateGrant {
		list = &r.granted
	}
	last := len(*list) - 1
	moved := (*list)[last]
	(*list)[s.place], moved.place = moved, s.place
	(*list)[last] = nil
	*list = (*list)[:last]
}

// deny turns a client away.
func (r *Room) deny(s *Session, why Reason, text string) {
	if why == ReasonDenied {
		r.stats.Denials++
	}
	r.end(s, why, wire.AppendClose(wire.AppendDenied(nil, text)))
}

// bye ends a session whose client said Close.
func (r *Room) bye(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(s, ReasonBye, nil)
}

// violation ends a session whose client broke the protocol.
func (r *Room) violation(s *Session, why Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violate(s, why)
}

// violate is violation for callers that hold the lock.
func (r *Room) violate(s *Session, why Reason) {
	r.end(s, why, wire.AppendClose(wire.AppendNotice(nil, r.violationText(why))))
}

func (r *Room) violationText(why Reason) string {
	switch why {
	case ReasonBadType:
		return "unknown frame type"
	case ReasonBadCommand:
		return "unknown file command"
	case ReasonMalformed:
		return "malformed file frame"
	case ReasonTooLong:
		return fmt.Sprintf("frame longer than %d octets", r.cfg.MaxFrame)
	case ReasonNotLoggedIn:
		return "log in first"
	case ReasonSecondCred:
		return "you are logged in already"
	case ReasonImpatient:
		return "too much sent before the login was answered"
	}
	panic("core: " + why.String() + " is no violation")
}
