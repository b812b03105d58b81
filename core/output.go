package core

import "math"

// forever is the limit of a session that is not closing.
const forever = math.MaxUint64

// keepOutput is the largest buffer an idle session keeps for output of its own.
const keepOutput = 16 << 10

// output is what the writer of a session works on. It belongs to the goroutine
// that calls Next and Wrote; what others leave for it arrives through the
// mailbox, under the room's lock.
type output struct {
	at      cursor
	batch   int    // octets from at on that were offered and not written; a frame ends there
	own     []byte // frames for this client alone that are being written
	sent    int    // octets of own that were written
	limit   uint64 // the log is written up to here
	final   []byte // what follows the log, last of all
	aborted bool   // nothing more is written
}

// mailbox is what the room has for a session's writer. The room's lock guards it.
type mailbox struct {
	start   cursor // where a session that was just let in begins
	private []byte // frames for this client alone
	spare   []byte // an empty buffer to change private with
	ending  bool   // what follows is set: the session is closing
	final   []byte
	limit   uint64
	aborted bool
}

// Next is the next contiguous octets to write; nil: nothing waits. They stay
// good until Wrote. Frames for this client alone go before what the room says,
// but never inside a frame of which a part is already written. Next is asked
// again until it gives nil: the log is offered in chunks.
func (s *Session) Next() []byte {
	if s.changed.Load() {
		s.takeMail()
	}
	p := s.out.next()
	if p != nil && !s.offered.Load() {
		s.offered.Store(true)
	}
	return p
}

func (o *output) next() []byte {
	switch {
	case o.aborted:
		return nil
	case o.batch > 0:
		return o.at.chunk.buf[o.at.off:][:o.batch]
	case o.sent < len(o.own):
		return o.own[o.sent:]
	}
	if p := o.at.pending(o.limit); p != nil {
		o.batch = len(p)
		return p
	}
	if len(o.final) > 0 {
		o.own, o.sent, o.final = o.final, 0, nil
		return o.own
	}
	return nil
}

// Wrote says that the first n octets of what Next gave are written. A writer
// that could write nothing need not call it.
func (s *Session) Wrote(n int) {
	o := &s.out
	if o.aborted {
		return
	}
	if o.batch > 0 {
		if n > o.batch {
			panic("core: Wrote more than Next gave")
		}
		o.batch -= n
		o.at.off += n
		s.position.Store(o.at.position())
		if o.batch == 0 {
			s.offered.Store(false)
		}
		return
	}
	if n > len(o.own)-o.sent {
		panic("core: Wrote more than Next gave")
	}
	if o.sent += n; o.sent < len(o.own) {
		return
	}
	s.offered.Store(false)
	s.recycle(o.own)
	o.own, o.sent = nil, 0
}

// recycle gives a written buffer back to the mailbox, so that output of a
// session's own allocates nothing in the long run.
func (s *Session) recycle(buf []byte) {
	if cap(buf) > keepOutput || cap(buf) == 0 {
		return
	}
	s.room.mu.Lock()
	if cap(s.mail.private) == 0 {
		s.mail.private = buf[:0]
	} else if cap(s.mail.spare) == 0 {
		s.mail.spare = buf[:0]
	}
	s.room.mu.Unlock()
}

// takeMail takes over what the room has left for the writer.
func (s *Session) takeMail() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	o, m := &s.out, &s.mail
	if m.start.chunk != nil {
		o.at, m.start = m.start, cursor{}
	}
	if m.ending {
		o.limit, o.final, o.aborted = m.limit, m.final, m.aborted
		m.ending, m.final = false, nil
	}
	if o.sent == len(o.own) && len(m.private) > 0 {
		o.own, o.sent = m.private, 0
		m.private, m.spare = m.spare, nil
	}
	// Frames that have to wait for the ones being written are asked for again.
	s.changed.Store(len(m.private) > 0)
}
