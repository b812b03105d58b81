package thread

import (
	"math"
	"sync/atomic"

	"chatbench/core"
)

// paceOctets is how many octets may be said since the last round began before readers wait
// for the writers. It is less than backends.FlushAfter, because every reader that does not
// wait yet may feed another step.
const paceOctets = 64 << 10

// rounds is the transport's Waker. A thread of its own, the coordinator, wakes all writers
// at once, with one system call, and waits until each has written what it could. What is
// said meanwhile waits for the next round. So under load a write carries everything that was
// said during the round before.
//
// A writer that has nothing to do holds a place in the next round. When the coordinator opens
// a round it takes all places at once, and so knows how many writers to wait for.
type rounds struct {
	room *core.Room

	bell  bell // wakes the coordinator
	grown atomic.Bool
	ended atomic.Bool // the coordinator is to end

	places atomic.Uint64 // upper 32 bits: number of the next round - 1; lower: places taken in it
	open   atomic.Uint32 // number of the open round; writers sleep on it
	left   atomic.Int64  // writers of the open round that are not done
	done   bell          // tells the coordinator that left is 0

	roundStart atomic.Uint64 // Room.Said when the last round began
	turns      atomic.Uint32 // rounds that have ended; readers sleep on it
	waiting    atomic.Int32  // readers that sleep
}

// WakeRoom notes that the log has grown.
func (r *rounds) WakeRoom() {
	if !r.grown.Load() && !r.grown.Swap(true) {
		r.bell.ring()
	}
}

// Wake wakes a session's writer.
func (r *rounds) Wake(s *core.Session) { s.Tag().(*conn).bell.ring() }

// run is the coordinator: it runs rounds until stop.
func (r *rounds) run() {
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
	some := r.left.Add(int64(taken)) != 0 // 0 if all writers with a place have left it meanwhile
	r.open.Store(number)
	wakeAll(&r.open)
	if some {
		r.done.wait()
	}
	r.roundStart.Store(said)
	r.turns.Add(1)
	if r.waiting.Load() > 0 {
		wakeAll(&r.turns)
	}
}

// pace blocks a reader while writers have not had their turn. Without it a fast sender would
// be read on and on, and clients that do read would count as slow. It never waits for a
// client.
func (r *rounds) pace() {
	for {
		turn := r.turns.Load() // before roundStart, which is changed before turns
		if said, begun := r.room.Said(), r.roundStart.Load(); begun > said || said-begun < paceOctets {
			return
		}
		r.WakeRoom()
		r.waiting.Add(1)
		sleepOn(&r.turns, turn, 0)
		r.waiting.Add(-1)
	}
}

// place is a writer's place in the rounds. Only the writer uses it.
type place struct {
	rounds *rounds
	number uint32 // the round before the one it has a place in
	held   bool
	within bool // the open round waits for this writer
}

// take takes a place in the next round. The round will wake the writer for what is said
// after this call; the writer has to look by itself for what was said before.
func (p *place) take() {
	if !p.held {
		p.number, p.held = uint32(p.rounds.places.Add(1)>>32), true
	}
}

// called says whether the round has opened in which the writer has its place.
func (p *place) called(open uint32) bool {
	if !p.held || int32(open-p.number) <= 0 {
		return false
	}
	p.held, p.within = false, true
	return true
}

// leave tells the open round not to wait for this writer any more.
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
