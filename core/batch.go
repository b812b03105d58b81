package core

import (
	"sync"

	"chatbench/core/wire"
)

// batch is the output of one Feed. Its frames are made safe and encoded here,
// without the room's lock, and appended to the log in one piece.
type batch struct {
	said     []byte // frames for the room
	messages int    // frames in said
	safe     []byte // buffer for text made safe
	private  []byte // frames for one client
}

// batches keeps the buffers of batches for reuse.
var batches = sync.Pool{New: func() any { return new(batch) }}

// batchSize is how many octets a batch gathers before they are appended to the log.
const batchSize = 32 << 10

// chat adds a client's text to the batch.
func (b *batch) chat(s *Session, text []byte) {
	if !wire.IsSafe(text) {
		b.safe = wire.AppendSafe(b.safe[:0], text)
		text = b.safe
	}
	if len(b.said)+len(s.name)+len(text)+len("0: 0") > min(batchSize, s.room.log.chunkSize) {
		b.sayAll(s)
	}
	before := len(b.said)
	b.said = wire.AppendSaid(b.said, s.name, text)
	b.messages++
	s.spend(frameCost + saidOctetCost*(len(b.said)-before))
}

// sayAll says to the room what the batch has gathered. If the session has ended
// meanwhile, it drops that.
func (b *batch) sayAll(s *Session) {
	if b.messages == 0 {
		return
	}
	r := s.room
	r.mu.Lock()
	switch {
	case s.state != StateGrant:
	case r.cfg.Cluster != nil:
		r.submit(b.said)
	default:
		r.say(b.said)
		r.stats.Messages += uint64(b.messages)
		if r.cfg.History > 0 {
			r.keep(b.said, b.messages, r.now())
		}
	}
	r.unlock()
	b.said, b.messages = b.said[:0], 0
}
