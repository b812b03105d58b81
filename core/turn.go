package core

import (
	"sync"

	"chatbench/core/wire"
)

// turn is what comes of the frames of one Feed. They are made safe and encoded
// here, without a lock, and given to the room in one piece.
type turn struct {
	said     []byte // frames for the room
	messages int    // in said
	safe     []byte // text made safe
	private  []byte // frames for one client
}

// turns keeps them between Feeds.
var turns = sync.Pool{New: func() any { return new(turn) }}

// sayMost is how many octets a turn gathers before it gives them to the room.
const sayMost = 32 << 10

// chat says a client's text to the room, with what else is said in this turn.
func (t *turn) chat(s *Session, text []byte) {
	if !wire.IsSafe(text) {
		t.safe = wire.AppendSafe(t.safe[:0], text)
		text = t.safe
	}
	if len(t.said)+len(s.name)+len(text)+len("0: 0") > min(sayMost, s.room.log.chunkSize) {
		t.sayAll(s)
	}
	before := len(t.said)
	t.said = wire.AppendSaid(t.said, s.name, text)
	t.messages++
	s.spend(frameCost, len(t.said)-before)
}

// sayAll gives the room what a client has said. If its session has ended
// meanwhile nobody hears it.
func (t *turn) sayAll(s *Session) {
	if t.messages == 0 {
		return
	}
	r := s.room
	r.mu.Lock()
	if s.state == StateGrant {
		r.say(t.said)
		r.stats.Messages += uint64(t.messages)
	}
	r.unlock()
	t.said, t.messages = t.said[:0], 0
}
