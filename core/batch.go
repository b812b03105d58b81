package core

import (
	"sync"

	"chatbench/core/wire"
)

// batch is what the frames of one Feed become. They are made safe and encoded
// here, without the room's lock, and appended to the log in one piece.
type batch struct {
	said     []byte // frames for the room
	messages int    // in said
	safe     []byte // text made safe
	private  []byte // frames for one client
}

// batches keeps buffers for the next Feed.
var batches = sync.Pool{New: func() any { return new(batch) }}

// batchSize is how many octets are gathered before they are given to the room.
const batchSize = 32 << 10

// chat adds a client's text to what the room is given.
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

// sayAll gives the room what was gathered. If the session has ended meanwhile,
// nothing is said.
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
