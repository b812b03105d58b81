package core

import (
	"fmt"
	"time"

	"chatbench/core/wire"
)

// defaultFarewell is how long a closing client may take over what it is still owed,
// and how long the input of one that has left is worked through.
const defaultFarewell = 10 * time.Second

// Farewell is Config.Farewell, for a transport that has not read all that a client
// sent before it left: longer than that it need not read on.
func (r *Room) Farewell() time.Duration { return r.cfg.Farewell }

// fullText is what a client is told for whom there is no room.
const fullText = "server is full"

// lastWords is what a closing session is still given: the log up to limit,
// then text. If text is nil it is given nothing at all, not even the log.
type lastWords struct {
	text  []byte
	limit uint64
}

var nothingMore = &lastWords{}

// end begins the end of a session: it is out of the room at once. final is
// what its client is still sent, after all that was said until now; nil for
// nothing at all, neither that nor the log. Only the first call counts.
func (r *Room) end(s *Session, why Reason, final []byte) {
	if s.closing.Load() != 0 {
		return
	}
	wasIn := s.state == StateGrant
	if wasIn {
		r.observe(s, Event{Name: s.name, Folded: s.folded, Reason: why, Stayed: time.Duration(r.clock.Load() - s.deadline)})
	} else if why != ReasonDenied { // denyLogin tells of those
		r.observe(s, Event{Reason: why})
	}
	s.deadline = r.in(r.cfg.Farewell)
	if s.pooled {
		r.move(s, StateError)
	}
	s.state = StateError
	if final == nil || s.deaf {
		r.silence(s)
	} else {
		s.mail.last = &lastWords{final, r.log.end.Load()}
		s.changed.Store(true)
	}
	// After changed: whoever sees the session closing finds the last words.
	s.closing.Store(1 + uint32(why))
	if s.pooled && !s.left {
		r.wake(s)
	}
	r.releaseWaiters(s)
	if wasIn {
		delete(r.names, s.folded)
		if r.cfg.Cluster != nil {
			r.cfg.Cluster.Release(s.folded)
		}
		r.remember(s)
		r.announceLeave(s.name)
	}
	if s.parting {
		r.release(s) // its transport has let go of it long since
	}
}

// silence takes back all that a closing session was still to be given, and
// lets go of the log for it.
func (r *Room) silence(s *Session) {
	if s.pooled {
		r.list(s).remove(s)
	}
	s.silent = true
	if s.pooled {
		r.list(s).push(s)
	}
	s.mail.start.close()
	s.mail.private, s.mail.last = nil, nothingMore
	s.changed.Store(true)
}

// deny turns a client away. The session is not closing yet.
func (r *Room) deny(s *Session, why Reason, text string) {
	r.end(s, why, wire.AppendClose(wire.AppendDenied(nil, text)))
	s.state = StateDenied
}

// TurnAway ends the session of a client for whom its transport has no thread, process or
// descriptor: the reason is ReasonFull. It is denied, or told so if it is in the room
// already. To a session that is closing it does nothing. Any goroutine may call it.
func (s *Session) TurnAway() {
	r := s.room
	r.mu.Lock()
	defer r.unlock()
	switch {
	case s.closing.Load() != 0:
	case s.state == StateGrant:
		r.end(s, ReasonFull, wire.AppendClose(wire.AppendNotice(nil, fullText)))
	default:
		r.deny(s, ReasonFull, fullText)
	}
}

// denyLogin denies a login under a name, which is "" if there is none that could be
// one. The session is not closing yet.
func (r *Room) denyLogin(s *Session, name, folded, text string) {
	r.stats.Denials++
	r.observe(s, Event{Name: name, Folded: folded, Reason: ReasonDenied, Text: text})
	r.deny(s, ReasonDenied, text)
}

// bye ends a session whose client said Close.
func (r *Room) bye(s *Session) {
	r.mu.Lock()
	defer r.unlock()
	r.end(s, ReasonBye, nil)
}

// violation ends a session whose client broke the protocol.
func (r *Room) violation(s *Session, why Reason) {
	r.mu.Lock()
	defer r.unlock()
	r.violate(s, why)
}

// violate is violation for callers that hold the lock. To a session that is
// closing already, whatever state it was in, it does nothing.
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
	case ReasonPreface:
		return "a proxy's header has to come first, and be right"
	case ReasonFlood:
		return "too much sent, too fast"
	}
	panic("core: " + why.String() + " is no violation")
}
