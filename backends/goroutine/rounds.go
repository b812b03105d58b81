package goroutine

import (
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core"
)

// paceOctets is how many octets may be said since the last round began before readers wait for
// the writers. It is less than backends.FlushAfter, because every reader that does not wait yet
// may feed another step.
const paceOctets = 64 << 10

// rounds is the transport's Waker: a goroutine that starts the writers, in rounds. In a round it
// wakes the writers that have output and waits until each has written what it could. What is said
// meanwhile waits for the next round. So under load a write carries everything that was said
// during the round before.
type rounds struct {
	room    *core.Room
	wakeAll func() // wakes every writer

	bell     chan struct{} // there is work; ring never blocks
	quit     chan struct{}
	ended    chan struct{}
	finished chan struct{} // the last writer of a round is done

	grown      atomic.Bool // the log has grown since the last round began
	writers    atomic.Int64
	roundStart atomic.Uint64 // Room.Said when the last whole round began

	coalescing *coalescing // nil: output does not wait

	mu          sync.Mutex
	wakes       []*core.Session // sessions with output of their own, or that must close
	spareWakes  []*core.Session
	wakesClosed bool       // run has ended: wakes are discarded
	roundEnded  *sync.Cond // signals the end of a round
}

func newRounds(room *core.Room, wakeAll func()) *rounds {
	r := &rounds{
		room:     room,
		wakeAll:  wakeAll,
		bell:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
		finished: make(chan struct{}, 1),
	}
	r.roundEnded = sync.NewCond(&r.mu)
	return r
}

// WakeRoom notes that the log has grown.
func (r *rounds) WakeRoom() {
	if !r.grown.Load() && !r.grown.Swap(true) {
		r.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (r *rounds) Wake(s *core.Session) {
	if s.Tag().(*conn).inWakes.Swap(true) {
		return
	}
	r.mu.Lock()
	if !r.wakesClosed {
		r.wakes = append(r.wakes, s)
	}
	r.mu.Unlock()
	r.ring()
}

func (r *rounds) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// run runs rounds until stop.
func (r *rounds) run() {
	defer close(r.ended)
	for {
		select {
		case <-r.bell:
			r.round()
		case <-r.quit:
			return
		}
	}
}

// stop ends run, when no connection is left. Later wakes are discarded.
func (r *rounds) stop() {
	close(r.quit)
	<-r.ended
	if r.coalescing != nil {
		r.coalescing.alarm.close()
	}
	r.mu.Lock()
	r.wakes, r.wakesClosed = nil, true
	r.mu.Unlock()
}

// round runs a round. It is not whole if output of the room is left for a later round.
func (r *rounds) round() {
	r.writers.Store(1) // so that the round does not end before all writers are woken
	said := r.room.Said()
	whole := r.coalescing == nil || !r.grown.Load() || !r.outputWaits(time.Now(), said)
	r.mu.Lock()
	r.wakes, r.spareWakes = r.spareWakes[:0], r.wakes
	r.mu.Unlock()
	for i, s := range r.spareWakes {
		r.spareWakes[i] = nil
		c := s.Tag().(*conn)
		c.inWakes.Store(false)
		if _, closing := s.Closing(); closing {
			c.wakeStalledWriter()
		}
		c.wake()
	}
	if whole && r.grown.Swap(false) {
		r.wakeAll()
	}
	if r.writers.Add(-1) != 0 {
		<-r.finished
	}
	if !whole {
		return
	}
	r.mu.Lock()
	r.roundStart.Store(said)
	r.roundEnded.Broadcast()
	r.mu.Unlock()
}

// join adds a writer to the round that begins.
func (r *rounds) join() { r.writers.Add(1) }

// leave says that a writer has written what it could.
func (r *rounds) leave() {
	if r.writers.Add(-1) == 0 {
		r.finished <- struct{}{}
	}
}

// pace blocks a reader while writers have not had their turn. Without it a fast sender would be
// read on and on, and clients that do read would count as slow. It never waits for a client.
func (r *rounds) pace() {
	said := r.room.Said()
	if said < r.roundStart.Load()+paceOctets {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for said >= r.roundStart.Load()+paceOctets {
		r.WakeRoom()
		if r.coalescing != nil {
			r.ring() // output that waits has to be written now
		}
		r.roundEnded.Wait()
	}
}
