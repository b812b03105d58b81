package core

import (
	"fmt"
	"time"

	"chatbench/core/wire"
)

// defaultFarewell is the default of Config.Farewell.
const defaultFarewell = 10 * time.Second

// Farewell is Config.Farewell, for a transport that has not read all that a client
// sent before it left: it need not read for longer than that.
func (r *Room) Farewell() time.Duration { return r.cfg.Farewell }

// fullText is the reason of ReasonFull, for the client.
const fullText = "server is full"

// lastOutput is the last output of a closing session: the log up to limit, then
// text. If text is nil there is no output, not even the log.
type lastOutput struct {
	text  []byte
	limit uint64
}

var noOutput = &lastOutput{}

// end begins to close a session, which leaves the room at once. Its client is
// still sent what was said until now, and then final. If final is nil it is sent
// nothing more. Only the first call counts.
func (r *Room) end(s *Session, why Reason, final []byte) {
	if s.closing.Load() != 0 {
		return
	}
	wasIn := s.state == StateGrant
	if wasIn {
		r.observe(s, Event{Name: s.name, Folded: s.folded, Reason: why, Stayed: time.Duration(r.clock.Load() - s.deadline)})
	} else if why != ReasonDenied { // denyLogin has reported those
		r.observe(s, Event{Reason: why})
	}
	s.deadline = r.in(r.cfg.Farewell)
	if s.pooled {
		r.move(s, StateError)
	}
	s.state = StateError
	if final == nil || s.unwritable {
		r.discardOutput(s)
	} else {
		s.mail.last = &lastOutput{final, r.log.end.Load()}
		s.changed.Store(true)
	}
	// After changed: whoever sees that the session is closing finds its last output.
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
		r.saveAllowance(s)
		r.announceLeave(s.name)
	}
	if s.leaving {
		r.release(s) // its transport has called Leave already
	}
}

// discardOutput discards all output of a closing session, and releases its place in
// the log.
func (r *Room) discardOutput(s *Session) {
	if s.pooled {
		r.list(s).remove(s)
	}
	s.discarded = true
	if s.pooled {
		r.list(s).push(s)
	}
	s.mail.start.close()
	s.mail.private, s.mail.last = nil, noOutput
	s.changed.Store(true)
}

// deny turns a client away. The session is not closing yet.
func (r *Room) deny(s *Session, why Reason, text string) {
	r.end(s, why, wire.AppendClose(wire.AppendDenied(nil, text)))
	s.state = StateDenied
}

// TurnAway ends the session of a client for which its transport has no thread, process or
// descriptor, with ReasonFull. The login is denied, or the client gets a notice if it is in
// the room already. If the session is closing, TurnAway does nothing. Any goroutine may
// call it.
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

// denyLogin denies a login with a name, which is "" if it was not a valid one. The
// session is not closing yet.
func (r *Room) denyLogin(s *Session, name, folded, text string) {
	r.stats.Denials++
	r.observe(s, Event{Name: name, Folded: folded, Reason: ReasonDenied, Text: text})
	r.deny(s, ReasonDenied, text)
}

// clientClosed ends a session whose client sent Close.
func (r *Room) clientClosed(s *Session) {
	r.mu.Lock()
	defer r.unlock()
	r.end(s, ReasonBye, nil)
}

// violation ends a session whose client violated the protocol.
func (r *Room) violation(s *Session, why Reason) {
	r.mu.Lock()
	defer r.unlock()
	r.violate(s, why)
}

// violate is violation for callers that hold the lock. If the session is closing
// already it does nothing.
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
