package core

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core/wire"
)

// Session is one client in the pool.
type Session struct {
	room  *Room
	waker Waker
	tag   any
	peer  netip.AddrPort

	in input // guarded by in.mu

	// Guarded by the room's lock.
	state        State
	pooled       bool  // holds a slot
	silent       bool  // closing, and given nothing more
	left         bool  // the transport has said Leave; set under in.mu as well
	parting      bool  // left, and ends when its login is answered and what it sent is worked through
	place        int32 // on the room's list for its state
	name, folded string
	deadline     time.Time // of the login; of a closing session, for taking its last words
	mail         mailbox

	out output // the writer's

	changed  atomic.Bool   // there is mail for the writer
	offered  atomic.Uint32 // the Tick in which Next gave octets that are not all written; see allTaken
	closing  atomic.Uint32 // 1 + the Reason
	position atomic.Uint64 // in the log, of what is written; forever while it is not read
}

// Tag is what Join was given.
func (s *Session) Tag() any { return s.tag }

// Peer is the client's address.
func (s *Session) Peer() netip.AddrPort { return s.peer }

// State is where the client stands.
func (s *Session) State() State {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.state
}

// Closing says whether the connection is to end, and why: write what Next
// still gives, then close. Ask it before Next: a session that was closing
// before Next gave nothing has nothing more to say.
func (s *Session) Closing() (Reason, bool) {
	c := s.closing.Load()
	return Reason(c - 1), c != 0
}

// Leave says that the connection is gone, and nothing can be written any more.
// The first call counts; if the session was closing already, the reason it was
// closing for stands. The caller is not inside Next or Wrote.
//
// What a client sent before its FIN is worked through, also when a login is
// being decided: one that leaves with ReasonEOF then keeps its slot, but not
// its transport, until the answer has come, its login has timed out, or the
// room is drained.
func (s *Session) Leave(why Reason) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	s.mail.start.close()
	s.out.at.close()
	s.out = output{last: nothingMore}
	s.mail = mailbox{}
	s.changed.Store(false)
	pooled := s.pooled
	if s.parting = why == ReasonEOF && s.in.asking && s.closing.Load() == 0; !s.parting {
		r.end(s, why, nil)
		r.release(s)
	}
	if pooled {
		r.use(s.waker, -1)
	}
}

// input is the reading half of a session.
type input struct {
	mu      sync.Mutex
	decoder wire.Decoder
	asking  bool   // a login is being decided
	waiting []byte // what arrived meanwhile
}

// Feed takes bytes from the client as they came. in may be reused when it
// returns. What arrives while a login is being decided waits in the session: at
// most 16 KiB, or four frames of MaxFrame if that is more. Over it the session
// ends with ReasonImpatient.
func (s *Session) Feed(in []byte) {
	s.in.mu.Lock()
	rest, login := s.feed(in)
	s.in.mu.Unlock()
	if login == nil {
		return
	}
	s.room.cfg.Authenticator.Authenticate(login)
	s.in.mu.Lock()
	s.feed(rest) // if the answer is there it need not wait; a Cred among it is a second one
	s.in.mu.Unlock()
}

// feed works through frames; the caller holds in.mu. A login that it returns
// has to be decided, without in.mu held, before the rest is worked through.
func (s *Session) feed(in []byte) (rest []byte, login *Login) {
	if s.in.asking {
		s.wait(in)
		return nil, nil
	}
	said := false
	for s.closing.Load() == 0 {
		f, after, ok, err := s.in.decoder.Next(in)
		if err != nil {
			s.room.violation(s, reasonOf(err))
			break
		}
		in = after
		if !ok {
			break
		}
		switch f.Type {
		case wire.Chat:
			said = s.room.chat(s, f.Body) || said
		case wire.File:
			s.room.file(s, f)
		case wire.Close:
			s.room.bye(s)
		case wire.Cred:
			if login = s.room.cred(s, f.Body); login != nil {
				s.in.asking = true
				return in, login
			}
		}
	}
	if said {
		s.room.wakeAll()
	}
	return nil, nil
}

// wait keeps bytes until the login is decided.
func (s *Session) wait(in []byte) {
	if s.closing.Load() != 0 || s.left {
		return // whatever the answer is
	}
	if len(s.in.waiting)+len(in) > s.room.cfg.waitLimit() {
		s.room.violation(s, ReasonImpatient)
		s.in.waiting = nil // whatever the answer is, and whenever it comes
		return
	}
	s.in.waiting = append(s.in.waiting, in...)
}

func reasonOf(err error) Reason {
	switch err {
	case wire.ErrType:
		return ReasonBadType
	case wire.ErrCommand:
		return ReasonBadCommand
	}
	return ReasonTooLong
}
