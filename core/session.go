package core

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"chatbench/core/wire"
)

// Session is one client in the pool.
type Session struct {
	room  *Room
	waker Waker
	tag   any

	in input // guarded by in.mu, which is taken before the room's lock

	// Guarded by the room's lock.
	peer         netip.AddrPort // set under in.mu as well
	state        State
	pooled       bool // holds a slot
	counted      bool // in Room.address
	unprefaced   bool // a preface is required, and has not come yet
	silent       bool // closing, and given nothing more
	left         bool // the transport has said Leave; set under in.mu as well
	deaf         bool // left, or a write has failed: nothing can be written to the client
	parting      bool // left, and ends when its login is answered and all its input is worked through
	prev, next   *Session
	name, folded string
	deadline     int64 // by Room.clock: of the login; when it came, of one in the room; of a session that is ending or has left, for its last words
	mail         mailbox
	waiters      []*Session // whose input waits until this one has taken more of its private frames

	out output // the writer's

	changed    atomic.Bool   // there is mail for the writer
	mayResume  atomic.Bool   // input that waits may be worked through
	held       atomic.Bool   // input waits: what Held says
	hasWaiters atomic.Bool   // waiters is not empty
	refused    atomic.Bool   // the client took less than it was offered
	listed     atomic.Bool   // is on Room.refusing
	private    atomic.Int32  // octets of its own that wait
	closing    atomic.Uint32 // 1 + the Reason
	position   atomic.Uint64 // in the log, of what is written; forever while it is not read
	overSince  atomic.Int64  // by Room.lagClock: when it was found to be over a limit; 0: it is not
}

// Tag is what Join was given.
func (s *Session) Tag() any { return s.tag }

// Peer is the client's address. With a Preface it is what that says, once it is read.
func (s *Session) Peer() netip.AddrPort {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.peer
}

// State is where the client stands.
func (s *Session) State() State {
	s.room.mu.Lock()
	defer s.room.unlock()
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
// closing for stands. No call of Next or Wrote is under way. Leave waits for a
// Feed that is.
//
// What a client sent before its FIN is worked through, also if its login is being
// decided or its session is Held. One that leaves with ReasonEOF then keeps its
// slot, though its transport has let go of it, until that is done: by Ticks, and
// for Config.Farewell at the most once it is logged in.
func (s *Session) Leave(why Reason) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	r := s.room
	r.mu.Lock()
	defer r.unlock()
	if s.left {
		return
	}
	s.left = true
	r.deafen(s)
	pooled := s.pooled
	s.parting = why == ReasonEOF && s.in.hold != notHeld && s.closing.Load() == 0
	switch {
	case !s.parting:
		r.end(s, why, nil)
		r.release(s)
	case s.in.hold != forLogin:
		r.resumeByTicks(s)
	}
	if pooled {
		r.use(s.waker, -1)
	}
}

// WriteFailed says that a write to the client failed, and nothing can be written
// any more. From then on nothing is kept for the client: Next gives nothing, though
// it still works through input that waits, Wrote need not be called, and the client
// never counts as slow. What it said before is still to be fed, and after that
// Leave is called. Later calls do nothing.
//
// It belongs to the goroutine that calls Next and Wrote.
func (s *Session) WriteFailed() {
	s.room.mu.Lock()
	defer s.room.unlock()
	if !s.deaf {
		s.room.deafen(s)
	}
}

// deafen has nothing kept for a client that can be written nothing. The room's lock
// is held, and the caller is the session's writer, or there is none any more.
func (r *Room) deafen(s *Session) {
	s.deaf = true
	s.mail.start.close()
	s.closeLog()
	s.out = output{last: nothingMore}
	s.mail = mailbox{}
	s.changed.Store(false)
	s.private.Store(0) // nobody takes them any more, so nobody waits until they are taken
	r.releaseWaiters(s)
}

// input is the reading half of a session.
type input struct {
	mu      sync.Mutex
	preface *Preface // nil: there is none, or it has been read; a pointer, for most have none
	decoder wire.Decoder
	granted bool         // what is said goes to the room
	hold    hold         // why input waits
	waiting []byte       // what waits
	fullAt  atomic.Int64 // by Room.clock: when the allowance of flood control is full again
}

// Feed takes bytes from the client as they came. in may be reused when it
// returns. Ask Held afterwards.
//
// What arrives while a login is being decided waits in the session: at most 16
// KiB, or four frames of MaxFrame if that is more. With more the session ends with
// ReasonImpatient. Held says how much may wait for other reasons.
//
// Feed calls Wakers, and the Authenticator, on the caller's goroutine.
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
	if s.in.hold != notHeld {
		s.keepInput(in)
		return nil, nil
	}
	if s.in.preface != nil {
		if in = s.takePreface(in); len(in) == 0 {
			return nil, nil
		}
	}
	b := batches.Get().(*batch)
	defer batches.Put(b)
	for s.closing.Load() == 0 && s.allowed(in) {
		f, after, ok, err := s.in.decoder.Next(in)
		if err != nil {
			b.sayAll(s)
			s.room.violation(s, reasonOf(err))
			break
		}
		in = after
		if !ok {
			break
		}
		if f.Type == wire.Chat && s.in.granted {
			if string(f.Body) == whoCommand {
				if !s.who() {
					s.holdInput(forQueue, wire.AppendChat(nil, whoCommand), in)
					break
				}
				continue
			}
			if s.room.cfg.Cluster != nil && s.waitForStream() {
				s.holdInput(forStream, wire.AppendChat(nil, string(f.Body)), in)
				break
			}
			b.chat(s, f.Body)
			continue
		}
		if f.Type == wire.File && s.in.granted {
			done, forward := s.relay(b, f)
			if !done {
				s.holdInput(forQueue, rawFile(f), in)
				break
			}
			if forward != nil {
				s.holdInput(forAnswer, in)
				forward.send()
				break
			}
			continue
		}
		b.sayAll(s) // before what may end the session
		switch f.Type {
		case wire.Chat, wire.File:
			s.room.violation(s, ReasonNotLoggedIn)
		case wire.Close:
			s.room.bye(s)
		case wire.Cred:
			if login = s.room.cred(s, f.Body); login != nil {
				s.in.hold = forLogin
				return in, login
			}
		}
	}
	b.sayAll(s)
	return nil, nil
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
