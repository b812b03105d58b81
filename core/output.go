package core

import "math"

// forever is the limit of a session that is not closing, and the position of
// one that does not read the log.
const forever = math.MaxUint64

// keepOutput is the largest buffer an idle session keeps for output of its own.
const keepOutput = 16 << 10

// What a session's offered may be besides the Tick in which octets were given
// that are not all written yet.
const (
	allTaken = 0
	refused  = 1 // some of them the client did not take
)

// output is what the writer of a session works on. It belongs to the goroutine
// that calls Next and Wrote; what others leave for it arrives through the
// mailbox, under the room's lock.
type output struct {
	at    cursor
	batch int        // octets from at on that were offered and not written; a frame ends there
	own   []byte     // frames for this client alone that are being written
	sent  int        // octets of own that were written
	last  *lastWords // of a closing session; their text is emptied when it moves to own
}

// mailbox is what the room has for a session's writer. The room's lock guards it.
type mailbox struct {
	start   cursor // where a session that was just let in begins
	private []byte // frames for this client alone
	spare   []byte // an empty buffer to change private with
	last    *lastWords
}

// Next is the next contiguous octets to write; nil: nothing waits. They stay
// good until Wrote or Next is called. Frames for this client alone go before
// what the room says, but never inside a frame of which a part is already
// written. Next is asked again until it gives nil: the log is offered in chunks.
func (s *Session) Next() []byte {
	if s.changed.Load() {
		s.takeMail()
	}
	p := s.next()
	if p != nil && s.offered.Load() == allTaken {
		s.offered.Store(s.room.ticks.Load())
	}
	return p
}

func (s *Session) next() []byte {
	o := &s.out
	switch {
	case o.silent():
		return nil
	case o.batch > 0:
		return o.at.chunk.buf[o.at.off:][:o.batch]
	case o.sent < len(o.own):
		return o.own[o.sent:]
	}
	limit := uint64(forever)
	if o.last != nil {
		limit = o.last.limit
	}
	if p := o.at.pending(limit); p != nil {
		o.batch = len(p)
		return p
	}
	if o.last == nil || len(o.last.text) == 0 {
		return nil
	}
	s.closeLog()
	o.own, o.sent, o.last.text = o.last.text, 0, o.last.text[:0]
	return o.own
}

// silent says that nothing more is written.
func (o *output) silent() bool { return o.last != nil && o.last.text == nil }

// closeLog says that the writer reads no more of the log, so that none of it
// is kept for a client that is going.
func (s *Session) closeLog() {
	s.out.at.close()
	s.position.Store(forever)
}

// Wrote says that the first n octets of what Next gave are written. Less than
// all of them means that the client takes no more for now. A writer that could
// write nothing need not call it.
func (s *Session) Wrote(n int) {
	o := &s.out
	if o.silent() {
		return
	}
	if o.batch > 0 {
		if n > o.batch {
			panic("core: Wrote more than Next gave")
		}
		o.batch -= n
		o.at.off += n
		s.position.Store(o.at.position())
		s.took(o.batch == 0)
		return
	}
	if n > len(o.own)-o.sent {
		panic("core: Wrote more than Next gave")
	}
	o.sent += n
	s.took(o.sent == len(o.own))
	if o.sent == len(o.own) {
		s.recycle(o.own)
		o.own, o.sent = nil, 0
	}
}

// took notes whether the client took all it was offered.
func (s *Session) took(all bool) {
	if all {
		s.offered.Store(allTaken)
	} else {
		s.offered.Store(refused)
	}
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
	if m.last != nil {
		o.last, m.last = m.last, nil
		if o.silent() {
			s.closeLog()
			o.own = nil
		}
	}
	if o.sent == len(o.own) && len(m.private) > 0 {
		o.own, o.sent = m.private, 0
		m.private, m.spare = m.spare, nil
	}
	// Frames that have to wait for the ones being written are asked for again.
	s.changed.Store(len(m.private) > 0)
}
