package loadgen

import (
	"runtime/metrics"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/hist"
)

// counters count what the generator does, since it began.
type counters struct {
	busy, idle int64  // nanoseconds in turns with something to do, and in turns without
	polls      uint64 // epoll_wait
	recvs      uint64
	octets     uint64 // received
	sends      uint64
}

// health is the generator's measurement of itself.
type health struct {
	counters

	worked  bool  // in the turn that is going on
	started int64 // when it began

	begun, ended  bool // the timed section
	first, last   counters
	before, after reading
	samples       []metrics.Sample
}

// pace records how well a load kept to its schedule.
type pace struct {
	lags    *hist.Histogram // from due to the first attempt to send, of timed messages
	due     uint64          // messages due in the timed section
	sent    uint64          // messages the kernel took in the timed section
	stalled uint64          // timed messages that found the server not reading
}

func newPace() pace { return pace{lags: hist.New()} }

// reset begins a new section.
func (p *pace) reset() {
	p.lags.Reset()
	p.due, p.sent, p.stalled = 0, 0, 0
}

func (p *pace) fill(r *Result) {
	r.Messages.Due, r.Messages.Sent = p.due, p.sent
	r.Generator.Lag.Histogram, r.Generator.Stalled = p.lags, p.stalled
}

// reading is what the kernel and the Go runtime report about this process.
type reading struct {
	usage   unix.Rusage // of the generator's thread
	objects uint64      // ever allocated by the process
}

func newHealth() health {
	return health{
		samples: []metrics.Sample{{Name: "/gc/heap/allocs:objects"}},
	}
}

// turn ends the turn before and begins one at now.
func (h *health) turn(now int64) {
	if spent := now - h.started; h.worked {
		h.busy += spent
	} else {
		h.idle += spent
	}
	h.started, h.worked = now, false
}

// noteTime is told the time: at the edges of the timed section it stores the counters.
func (h *health) noteTime(now, from, to int64) {
	if !h.begun && now >= from {
		h.begun, h.first = true, h.counters
		h.read(&h.before)
	}
	if !h.ended && now >= to {
		h.ended, h.last = true, h.counters
		h.read(&h.after)
	}
}

func (h *health) read(r *reading) {
	unix.Getrusage(unix.RUSAGE_THREAD, &r.usage)
	metrics.Read(h.samples)
	r.objects = h.samples[0].Value.Uint64()
}

// Generator is what the generator measured of itself, over the timed section.
type Generator struct {
	// Lag is how late the generator was with each message: from when it was due
	// to the first attempt to send it. Waiting for a server that does not read
	// is not lag; Stalled counts the messages that had to wait.
	Lag     Latency `json:"lag"`
	Stalled uint64  `json:"stalled_messages"`
	// Queue is how long received data waited in the generator's own receive queue, by
	// reads of a few of the clients, from the kernel's timestamp of the newest
	// segment of each. It is part of every latency.
	Queue Latency `json:"receive_queue"`

	BusyRatio   float64 `json:"busy_ratio"` // share of the time in turns with something to do; of several threads the busiest one's
	CPUUser     int64   `json:"cpu_user_ns"`
	CPUSystem   int64   `json:"cpu_system_ns"`
	Wall        int64   `json:"wall_ns"`
	Preempted   int64   `json:"involuntary_switches"`
	Yielded     int64   `json:"voluntary_switches"`
	Polls       uint64  `json:"polls"`
	Recvs       uint64  `json:"recvs"`
	RecvOctets  uint64  `json:"recv_octets"` // decrypted ones
	PerRecv     float64 `json:"octets_per_recv"`
	Sends       uint64  `json:"sends"`
	HeapObjects uint64  `json:"heap_objects_allocated"` // by the whole process

	// Threads has an element for each of several threads; nil if there is one. Times and counts
	// above are then sums over all of them.
	Threads []Thread `json:"threads,omitempty"`
}

// Thread is one of several threads of a generator.
type Thread struct {
	BusyRatio float64 `json:"busy_ratio"`
	Ran       float64 `json:"ran"`        // the share of the time in which it had a CPU
	LagP99    int64   `json:"lag_p99_ns"` // of its own messages
}

// thread converts g, which is of one thread, to one of several threads.
func (g *Generator) thread() Thread {
	return Thread{BusyRatio: g.BusyRatio, Ran: g.Ran(), LagP99: g.Lag.Histogram.Summary().P99NS}
}

// WorstLag is the p99 of the lag in nanoseconds; of several threads the largest one: the messages
// of one late thread among many may be less than a hundredth of all.
func (g *Generator) WorstLag() int64 {
	worst := g.Lag.P99NS
	for _, t := range g.Threads {
		worst = max(worst, t.LagP99)
	}
	return worst
}

// Ran is the share of the time in which the thread had a CPU; of several threads the smallest
// share. The thread spins: less than 1 means that something else ran on its CPU.
func (g *Generator) Ran() float64 {
	ran := float64(g.CPUUser+g.CPUSystem) / float64(max(g.Wall, 1))
	for i, t := range g.Threads {
		if i == 0 || t.Ran < ran {
			ran = t.Ran
		}
	}
	return ran
}

// add adds another thread's figures, except for its latencies.
func (g *Generator) add(other *Generator) {
	if g.Threads == nil {
		g.Threads = []Thread{g.thread()}
	}
	g.Threads = append(g.Threads, other.thread())
	g.BusyRatio = max(g.BusyRatio, other.BusyRatio)
	g.CPUUser, g.CPUSystem, g.Wall = g.CPUUser+other.CPUUser, g.CPUSystem+other.CPUSystem, g.Wall+other.Wall
	g.Preempted, g.Yielded = g.Preempted+other.Preempted, g.Yielded+other.Yielded
	g.Polls, g.Recvs, g.Sends = g.Polls+other.Polls, g.Recvs+other.Recvs, g.Sends+other.Sends
	g.RecvOctets, g.Stalled = g.RecvOctets+other.RecvOctets, g.Stalled+other.Stalled
	g.PerRecv = float64(g.RecvOctets) / float64(max(g.Recvs, 1))
	g.HeapObjects = max(g.HeapObjects, other.HeapObjects)
}

func (h *health) report() Generator {
	a, b := &h.before.usage, &h.after.usage
	g := Generator{
		CPUUser:     b.Utime.Nano() - a.Utime.Nano(),
		CPUSystem:   b.Stime.Nano() - a.Stime.Nano(),
		Preempted:   b.Nivcsw - a.Nivcsw,
		Yielded:     b.Nvcsw - a.Nvcsw,
		Polls:       h.last.polls - h.first.polls,
		Recvs:       h.last.recvs - h.first.recvs,
		RecvOctets:  h.last.octets - h.first.octets,
		Sends:       h.last.sends - h.first.sends,
		HeapObjects: h.after.objects - h.before.objects,
	}
	busy, idle := h.last.busy-h.first.busy, h.last.idle-h.first.idle
	g.Wall = busy + idle
	g.BusyRatio = float64(busy) / float64(max(g.Wall, 1))
	g.PerRecv = float64(g.RecvOctets) / float64(max(g.Recvs, 1))
	return g
}
