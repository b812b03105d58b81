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
	pooled       bool // has a slot
	counted      bool // in Room.address
	needsPreface bool // a preface is required, and has not come yet
	discarded    bool // closing, and its output was discarded
	left         bool // the transport has called Leave; set under in.mu as well
	unwritable   bool // left, or a write has failed: nothing can be written to the client
	leaving      bool // left, and ends when its login is answered and all its input is processed
	prev, next   *Session
	name, folded string
	deadline     int64 // by Room.clock: pending: of the login; granted: when the client was let in; closing or left: of the last output or input
	mail         mailbox
	waiters      []*Session // sessions whose input waits until more private frames are written to this one

	out output // belongs to the writer

	changed    atomic.Bool   // there is mail for the writer
	mayResume  atomic.Bool   // waiting input may be processed
	held       atomic.Bool   // the value of Held
	hasWaiters atomic.Bool   // waiters is not empty
	refused    atomic.Bool   // the client took less than it was offered
	listed     atomic.Bool   // is on Room.refusing
	private    atomic.Int32  // octets of private frames that wait to be written
	closing    atomic.Uint32 // 1 + the Reason
	position   atomic.Uint64 // in the log, of what is written; forever if the session does not read the log
	overSince  atomic.Int64  // by Room.lagClock: when it was found to be over a limit; 0: it is not
}

// Tag is the tag that was passed to Join.
func (s *Session) Tag() any { return s.tag }

// Peer is the client's address. With a Preface it is the address in that, once it is read.
func (s *Session) Peer() netip.AddrPort {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	return s.peer
}

// State is the state of the client.
func (s *Session) State() State {
	s.room.mu.Lock()
	defer s.room.unlock()
	return s.state
}

// Closing says whether the connection has to be closed, and why: write what Next
// still returns, then close. Call it before Next: if a session was closing before
// Next returned nil, there is no more output.
func (s *Session) Closing() (Reason, bool) {
	c := s.closing.Load()
	return Reason(c - 1), c != 0
}

// Leave says that the connection is gone, and nothing can be written any more.
// Only the first call counts. If the session was closing already, the reason for that
// is kept. No call of Next or Wrote may be running. Leave waits for a running Feed.
//
// What a client sent before its FIN is processed, even if its login is being decided
// or its session is Held. In that case a session that leaves with ReasonEOF keeps its
// slot until Ticks have processed its input, but for at most Config.Farewell once it
// is logged in.
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
	r.dropOutput(s)
	pooled := s.pooled
	s.leaving = why == ReasonEOF && s.in.heldFor != notHeld && s.closing.Load() == 0
	switch {
	case !s.leaving:
		r.end(s, why, nil)
		r.release(s)
	case s.in.heldFor != heldForLogin:
		r.resumeByTicks(s)
	}
	if pooled {
		r.use(s.waker, -1)
	}
}

// WriteFailed says that a write to the client failed, and nothing can be written
// any more. From then on no output is kept for the client: Next returns nil, though it
// still processes waiting input, Wrote need not be called, and the client never counts
// as slow. The transport must still feed what the client sent before, and then call
// Leave. Later calls do nothing.
//
// It belongs to the goroutine that calls Next and Wrote.
func (s *Session) WriteFailed() {
	s.room.mu.Lock()
	defer s.room.unlock()
	if !s.unwritable {
		s.room.dropOutput(s)
	}
}

// dropOutput discards the output for a client to which nothing can be written any more. The
// room's lock is held, and the caller is the session's writer, or there is none any more.
func (r *Room) dropOutput(s *Session) {
	s.unwritable = true
	s.mail.start.close()
	s.closeLog()
	s.out = output{last: noOutput}
	s.mail = mailbox{}
	s.changed.Store(false)
	s.private.Store(0) // they will not be written, so nobody has to wait for that
	r.releaseWaiters(s)
}

// input is the reading half of a session.
type input struct {
	mu      sync.Mutex
	preface *Preface // nil: there is none, or it has been read; a pointer, because most have none
	decoder wire.Decoder
	granted bool         // what is said goes to the room
	heldFor holdReason   // why input waits
	waiting []byte       // input that waits
	fullAt  atomic.Int64 // by Room.clock: when the allowance of flood control is full again
}

// Feed processes octets from the client. in may be reused when Feed has returned.
// Check Held afterwards.
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
	s.feed(rest) // if the login is answered it need not wait; a Cred in it is a second one
	s.in.mu.Unlock()
}

// feed processes frames; the caller holds in.mu. A login that it returns must be
// decided, without in.mu held, before the rest is processed.
func (s *Session) feed(in []byte) (rest []byte, login *Login) {
	if s.in.heldFor != notHeld {
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
					s.holdInput(heldForQueue, wire.AppendChat(nil, whoCommand), in)
					break
				}
				continue
			}
			if s.room.cfg.Cluster != nil && s.waitForStream() {
				s.holdInput(heldForStream, wire.AppendChat(nil, string(f.Body)), in)
				break
			}
			b.chat(s, f.Body)
			continue
		}
		if f.Type == wire.File && s.in.granted {
			done, forward := s.relay(b, f)
			if !done {
				s.holdInput(heldForQueue, rawFile(f), in)
				break
			}
			if forward != nil {
				s.holdInput(heldForAnswer, in)
				forward.send()
				break
			}
			continue
		}
		b.sayAll(s) // before a frame that may end the session
		switch f.Type {
		case wire.Chat, wire.File:
			s.room.violation(s, ReasonNotLoggedIn)
		case wire.Close:
			s.room.clientClosed(s)
		case wire.Cred:
			if login = s.room.cred(s, f.Body); login != nil {
				s.in.heldFor = heldForLogin
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
