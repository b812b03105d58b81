package goroutine

import (
	"sync"
	"sync/atomic"
	"time"

	"chatbench/core"
)

// paceOctets is how much may be said beyond what the last round began with
// before readers wait for the writers: less than backends.FlushAfter, for each
// reader that does not wait yet may feed another step.
const paceOctets = 64 << 10

// rounds is the transport's Waker: a goroutine that hands out turns to write. In
// a round it wakes the writers that have output and waits until each has written
// what it could; what is said meanwhile waits for the next round. So under load a write carries all that was said during the round before.
type rounds struct {
	room    *core.Room
	wakeAll func() // wakes every writer

	bell     chan struct{} // there is work; never blocks who rings
	quit     chan struct{}
	ended    chan struct{}
	finished chan struct{} // the last writer of a round is done

	grown atomic.Bool // the log has grown since the last round began
	busy  atomic.Int64
	begun atomic.Uint64 // what was said when the last whole round began

	waits *waits // nil: output does not wait

	mu         sync.Mutex
	mail       []*core.Session // have output of their own, or must close
	taken      []*core.Session
	mailClosed bool       // run has ended: nobody reads the mail
	turned     *sync.Cond // a round has ended
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
	r.turned = sync.NewCond(&r.mu)
	return r
}

// WakeRoom notes that the log has grown.
func (r *rounds) WakeRoom() {
	if !r.grown.Load() && !r.grown.Swap(true) {
		r.ring()
	}
}

// Wake notes that a session has something for its writer.
func (r *rounds) Wake(s *core.Session) {
	if s.Tag().(*conn).noted.Swap(true) {
		return
	}
	r.mu.Lock()
	if !r.mailClosed {
		r.mail = append(r.mail, s)
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

// run works the rounds off until stop.
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

// stop ends run. No connection is left. Whoever is woken later is not noted.
func (r *rounds) stop() {
	close(r.quit)
	<-r.ended
	if r.waits != nil {
		r.waits.alarm.close()
	}
	r.mu.Lock()
	r.mail, r.mailClosed = nil, true
	r.mu.Unlock()
}

// round wakes the writers that have output. What the room has said may be left for a
// later round.
func (r *rounds) round() {
	r.busy.Store(1) // so that the round does not end while it begins
	said := r.room.Said()
	whole := r.waits == nil || !r.grown.Load() || !r.outputWaits(time.Now(), said)
	r.mu.Lock()
	r.mail, r.taken = r.taken[:0], r.mail
	r.mu.Unlock()
	for i, s := range r.taken {
		r.taken[i] = nil
		c := s.Tag().(*conn)
		c.noted.Store(false)
		if _, closing := s.Closing(); closing {
			c.urge()
		}
		c.wake()
	}
	if whole && r.grown.Swap(false) {
		r.wakeAll()
	}
	if r.busy.Add(-1) != 0 {
		<-r.finished
	}
	if !whole {
		return
	}
	r.mu.Lock()
	r.begun.Store(said)
	r.turned.Broadcast()
	r.mu.Unlock()
}

// join counts a writer into the round that is beginning.
func (r *rounds) join() { r.busy.Add(1) }

// leave counts it out: it has written what it could.
func (r *rounds) leave() {
	if r.busy.Add(-1) == 0 {
		r.finished <- struct{}{}
	}
}

// pace holds a reader back while writers that could write have not had their
// turn. Without it a fast sender would be read on and on, and clients that do
// read would seem slow. It never waits for a client.
func (r *rounds) pace() {
	said := r.room.Said()
	if said < r.begun.Load()+paceOctets {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for said >= r.begun.Load()+paceOctets {
		r.WakeRoom()
		if r.waits != nil {
			r.ring() // output that waits has to go now
		}
		r.turned.Wait()
	}
}
