package coalesce

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"chatbench/backends"
)

// How long things take in the simulated loop, as measured on a virtual machine over loopback.
const (
	packet  = 4800 * time.Nanosecond // F: a write
	share   = 30 * time.Nanosecond   // V: of a message in it
	reading = 3 * us                 // a message from a client
	waking  = 2 * us                 // a turn
	slack   = 50 * us                // by which a wait in the kernel ends late
	noSleep = 10 * us                // a shorter sleep is none
	octets  = 75                     // of a message
)

// message is a message that arrives, from a sender of a closed loop or of an open loop.
type message struct {
	at     time.Duration
	sender int // -1: of an open loop
}

// queue is messages in the order of their arrival.
type queue []message

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(m any)        { *q = append(*q, m.(message)) }
func (q *queue) Pop() any {
	old := *q
	m := old[len(old)-1]
	*q = old[:len(old)-1]
	return m
}

// world is a simulated loop with a room of clients.
type world struct {
	clients int
	senders int           // of a closed loop: sender i is the client of that place among all
	answer  time.Duration // a sender sends again so long after it heard its message
	most    int           // messages after which it ends

	control *Controller
	arrive  queue
	now     time.Duration
	idle    time.Duration
	said    uint64
	held    []message
	began   time.Duration // beginning of the turn that brought the first of held

	result
}

// result is the result of a simulation.
type result struct {
	messages, flushes int
	busy              time.Duration // CPU time
	took              time.Duration
	waited            time.Duration // the longest, between the turn that brought a message and writing
	delays            []time.Duration
}

// perWrite is how many messages shared a write.
func (r result) perWrite() float64 { return float64(r.messages) / float64(r.flushes) }

// load is the share of a core that was used.
func (r result) load() float64 { return float64(r.busy) / float64(r.took) }

// cpu is the time of the processor for each message.
func (r result) cpu() time.Duration { return r.busy / time.Duration(r.messages) }

func (r result) percentile(p int) time.Duration { return r.delays[(len(r.delays)-1)*p/100] }

// run turns the loop until all has been written.
func (w *world) run(setting backends.Coalesce) result {
	w.control = New(setting, w.moment())
	heap.Init(&w.arrive)
	for len(w.arrive) > 0 || len(w.held) > 0 {
		w.wait()
		began := w.now
		w.spend(waking)
		for len(w.arrive) > 0 && w.arrive[0].at <= began {
			if len(w.held) == 0 {
				w.began = began
			}
			w.held = append(w.held, heap.Pop(&w.arrive).(message))
			w.said += octets
			w.spend(reading)
		}
		if len(w.held) == 0 || w.control != nil && w.control.Waits(epoch.Add(began), w.moment()) {
			continue
		}
		if w.control != nil {
			w.control.Writes(w.moment())
		}
		w.write()
	}
	w.took = w.now
	slices.Sort(w.delays)
	return w.result
}

func (w *world) moment() Moment { return Moment{epoch.Add(w.now), w.idle, w.said} }

func (w *world) spend(d time.Duration) { w.now, w.busy = w.now+d, w.busy+d }

// wait sleeps until a message arrives or those that are held are due.
func (w *world) wait() {
	from := w.now
	wake := time.Duration(1<<63 - 1)
	if len(w.arrive) > 0 {
		wake = w.arrive[0].at
	}
	if w.control.Waiting() {
		wake = min(wake, from+max(w.control.Left(epoch.Add(from)), 0)+slack)
	}
	if w.now = max(wake, from); w.now-from > noSleep {
		w.idle += w.now - from
	}
}

// write writes all that is held to all clients, one after the other.
func (w *world) write() {
	w.waited = max(w.waited, w.now-w.began)
	w.flushes++
	w.messages += len(w.held)
	each := packet + share*time.Duration(len(w.held))
	for _, m := range w.held {
		for part := range 4 {
			w.delays = append(w.delays, w.now+each*time.Duration(w.clients*(2*part+1)/8)-m.at)
		}
		if m.sender >= 0 && w.messages+len(w.arrive) < w.most {
			heard := w.now + each*time.Duration((m.sender+1)*w.clients/w.senders)
			heap.Push(&w.arrive, message{heard + w.answer, m.sender})
		}
	}
	w.held = w.held[:0]
	w.spend(each * time.Duration(w.clients))
}

// poisson and steady are messages at a rate, the same for each call with the same numbers.
func poisson(perSecond float64, n int) (q queue) {
	random, at := rand.New(rand.NewPCG(1, uint64(n))), 0.0
	for range n {
		at += random.ExpFloat64() / perSecond
		q = append(q, message{time.Duration(at * float64(time.Second)), -1})
	}
	return q
}

func steady(perSecond float64, n int) (q queue) {
	for i := range n {
		q = append(q, message{time.Duration(float64(i) / perSecond * float64(time.Second)), -1})
	}
	return q
}

// windows is senders that each have so many messages in flight.
func windows(senders, window int) (q queue) {
	for s := range senders {
		for range window {
			q = append(q, message{0, s})
		}
	}
	return q
}
