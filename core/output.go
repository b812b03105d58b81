package core

import (
	"bytes"
	"math"
	"sync"
)

// forever is the limit of a session that is not closing, and the position of
// one that does not read the log.
const forever = math.MaxUint64

// keepOutput is the largest buffer of private frames that is kept for reuse.
const keepOutput = 16 << 10

// privateBuffers keeps the buffers in which private frames wait.
var privateBuffers = sync.Pool{New: func() any { return new(privateFrames) }}

// privateFrames is frames for one client alone.
type privateFrames struct{ frames []byte }

// fairShare is how many octets of private frames, and then of the log, Next returns
// while octets of the other kind wait.
const fairShare = 64 << 10

// output is the state of a session's writer. It belongs to the goroutine that calls
// Next and Wrote. What others have for it arrives through the mailbox, under the
// room's lock.
type output struct {
	at    cursor
	batch int32          // octets from at on that were offered and not written; a frame ends there
	sent  int32          // octets of own that were written
	own   *privateFrames // frames for this client alone that are being written; nil: none
	ahead int            // octets of own frames that were written since octets of the log
	last  *lastOutput    // of a closing session; its text is emptied when it moves to own
}

// mailbox is what the room has for a session's writer. The room's lock guards it.
type mailbox struct {
	start   cursor         // where a session that was just let in begins to read the log
	private *privateFrames // frames for this client alone; nil: none
	last    *lastOutput
}

// Next returns the next contiguous octets to write; nil: there are none. They stay
// valid until Wrote or Next is called. Call Next again until it returns nil.
//
// Frames for this client alone go before what the room says, but never inside a
// frame of which a part is already written. While both wait they take turns: 64
// KiB of the one, then 64 KiB of the other.
//
// If the session was Held and may go on, Next first processes a step of the input
// that waited: check Held afterwards. It may then wait for a Feed of this session
// that is running, say something to the room, and call Wakers.
func (s *Session) Next() []byte {
	if s.mayResume.Load() {
		s.resume()
	}
	if s.changed.Load() {
		s.takeMail()
	}
	o := &s.out
	var own []byte
	if o.own != nil {
		own = o.own.frames[o.sent:]
	}
	switch {
	case o.discarded():
		return nil
	case o.batch > 0:
		return o.at.chunk.buf[o.at.off:][:o.batch]
	case o.sent > 0 || len(own) > 0 && o.ahead < fairShare:
		return own
	}
	limit := uint64(forever)
	if o.last != nil {
		limit = o.last.limit
	}
	if p := o.at.pending(limit); p != nil {
		if len(own) > 0 {
			p = p[:wholeFrames(p, fairShare)]
		}
		o.batch, o.ahead = int32(len(p)), 0
		return p
	}
	if len(own) > 0 {
		o.ahead = 0 // nothing of the log waits; until they are written Next returns these again
		return own
	}
	if o.last == nil || len(o.last.text) == 0 {
		return nil
	}
	s.closeLog()
	o.own, o.sent, o.last.text = &privateFrames{o.last.text}, 0, o.last.text[:0]
	return o.own.frames
}

// Due says whether the writer should call Next now: the session is closing, its input may
// go on, there are frames for this client alone, or it has not been offered all that the room
// had said up to a position (Room.Said). While Due is false, Next returns at most what the room
// has said after that position. The writer calls it.
func (s *Session) Due(said uint64) bool {
	return s.closing.Load() != 0 || s.mayResume.Load() || s.changed.Load() || s.queued() > 0 || s.position.Load() < said
}

// wholeFrames is the total length of the frames of p that begin within its first most
// octets. p is whole frames of the log.
func wholeFrames(p []byte, most int) int {
	n := 0
	for n < len(p) && n < most {
		n += 2 + bytes.IndexByte(p[n+1:], 0) // the type octet, which may be NUL, and the NUL at the end
	}
	return n
}

// discarded says that no more output is written.
func (o *output) discarded() bool { return o.last != nil && o.last.text == nil }

// closeLog stops reading the log, so that none of it is kept for a client that is
// leaving.
func (s *Session) closeLog() {
	s.out.at.close()
	s.position.Store(forever)
}

// Wrote says that the first n octets of what Next returned are written. Less than
// all of them, also 0, means that the kernel takes no more for this client for now. A
// writer that could write nothing must call Wrote(0).
func (s *Session) Wrote(n int) {
	o := &s.out
	if o.discarded() {
		return
	}
	if o.batch > 0 {
		if n > int(o.batch) {
			panic("core: Wrote more than Next gave")
		}
		o.batch -= int32(n)
		o.at.off += n
		s.position.Store(o.at.position())
		s.tookAll(o.batch == 0)
		return
	}
	if o.own == nil {
		if n > 0 {
			panic("core: Wrote more than Next gave")
		}
		return
	}
	left := len(o.own.frames) - int(o.sent) - n
	if left < 0 {
		panic("core: Wrote more than Next gave")
	}
	o.sent += int32(n)
	o.ahead += n
	if n > 0 {
		s.private.Add(int32(-n))
		s.mayReleaseWaiters()
	}
	s.tookAll(left == 0)
	if left == 0 {
		if cap(o.own.frames) <= keepOutput {
			o.own.frames = o.own.frames[:0]
			privateBuffers.Put(o.own)
		}
		o.own, o.sent = nil, 0
	}
}

// takeMail moves what the room has for the writer from the mailbox to the output.
func (s *Session) takeMail() {
	s.room.mu.Lock()
	defer s.room.unlock()
	o, m := &s.out, &s.mail
	if m.start.chunk != nil {
		o.at, m.start = m.start, cursor{}
	}
	if m.last != nil {
		o.last, m.last = m.last, nil
		if o.discarded() {
			s.closeLog()
			o.own, o.sent = nil, 0
		}
	}
	if o.own == nil {
		o.own, o.sent, m.private = m.private, 0, nil
	}
	// Frames in private have to wait for own to be written: then takeMail is called again.
	s.changed.Store(m.private != nil)
}
