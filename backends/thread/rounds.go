package thread

import (
	"math"
	"sync/atomic"

	"chatbench/core"
)

// paceOctets is how much may be said beyond what the last round began with
// before readers wait for the writers: less than backends.FlushAfter, for each
// reader that does not wait yet may feed another step.
const paceOctets = 64 << 10

// rounds is the transport's Waker. A thread of its own, the conductor, wakes
// all writers at once, with one system call, and waits until each has written
// what it could; what is said meanwhile waits for the next round. So under load
// a write carries all that was said during the round before.
//
// A writer that has nothing to do holds a place in the next round. The
// conductor takes all places at once, as it opens a round, and so knows how
// many writers to wait for.
type rounds struct {
	room *core.Room

	bell  bell // the conductor's
	grown atomic.Bool
	ended atomic.Bool // the conductor is to end

	places atomic.Uint64 // number of the next round - 1 above 32 bits, and places taken in it
	open   atomic.Uint32 // number of the round that is open; what writers sleep on
	left   atomic.Int64  // writers of the round that are not done
	done   bell          // the conductor's: there are none

	begun   atomic.Uint64 // what was said when the last round began
	turns   atomic.Uint32 // rounds that have ended; what readers sleep on
	waiting atomic.Int32  // readers that do
}

// WakeRoom notes that the log has grown.
func (r *rounds) WakeRoom() {
	if !r.grown.Load() && !r.grown.Swap(true) {
		r.bell.ring()
	}
}

// Wake has a session's writer look after it.
func (r *rounds) Wake(s *core.Session) { s.Tag().(*conn).bell.ring() }

// conduct works the rounds off until stop.
func (r *rounds) conduct() {
	for {
		r.bell.wait()
		if r.ended.Load() {
			return
		}
		for r.grown.Load() {
			r.round()
		}
	}
}

func (r *rounds) stop() {
	r.ended.Store(true)
	r.bell.ring()
}

func (r *rounds) round() {
	r.grown.Store(false) // before the log is read: what comes later wants another round
	said := r.room.Said()
	number := r.open.Load() + 1
	taken := uint32(r.places.Swap(uint64(number) << 32))
	some := r.left.Add(int64(taken)) != 0 // not if the only one has gone meanwhile
	r.open.Store(number)
	wakeAll(&r.open)
	if some {
		r.done.wait()
	}
	r.begun.Store(said)
	r.turns.Add(1)
	if r.waiting.Load() > 0 {
		wakeAll(&r.turns)
	}
}

// pace holds a reader back while writers that could write have not had their
// turn. Without it a fast sender would be read on and on, and clients that do
// read would seem slow. It never waits for a client.
func (r *rounds) pace() {
	for {
		turn := r.turns.Load() // before begun: whoever changes that changes this next
		if said, begun := r.room.Said(), r.begun.Load(); begun > said || said-begun < paceOctets {
			return
		}
		r.WakeRoom()
		r.waiting.Add(1)
		sleepOn(&r.turns, turn, 0)
		r.waiting.Add(-1)
	}
}

// place is a writer's part in the rounds. It belongs to the writer.
type place struct {
	rounds *rounds
	number uint32 // the round before the one it holds a place in
	held   bool
	within bool // the open round waits for it
}

// take takes a place in the next round. What is said after it, that round will
// wake the writer for; what was said before it, the writer has to look for now.
func (p *place) take() {
	if !p.held {
		p.number, p.held = uint32(p.rounds.places.Add(1)>>32), true
	}
}

// called says whether the round has come for which there was a place.
func (p *place) called(open uint32) bool {
	if !p.held || int32(open-p.number) <= 0 {
		return false
	}
	p.held, p.within = false, true
	return true
}

// leave lets the round end without this writer.
func (p *place) leave() {
	if p.within {
		p.within = false
		p.count()
	}
}

// give gives a place back.
func (p *place) give() {
	if !p.held {
		return
	}
	p.held = false
	for {
		now := p.rounds.places.Load()
		if uint32(now>>32) != p.number {
			p.count() // too late: that round is waiting for it
			return
		}
		if p.rounds.places.CompareAndSwap(now, now+math.MaxUint64) { // one less
			return
		}
	}
}

func (p *place) count() {
	if p.rounds.left.Add(-1) == 0 {
		p.rounds.done.ring()
	}
}
