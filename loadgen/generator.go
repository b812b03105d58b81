package loadgen

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/hist"
	"chatbench/loadgen/ledger"
)

const (
	readSize  = 512 << 10 // of one recv
	writeSize = 64 << 10  // of one send, about
	maxEvents = 1024      // of one epoll_wait
)

// generator is one run, whatever its load: connections, clock, sections, and its measurement
// of itself. If there are several threads, each has a generator. Everything in it belongs to
// its locked thread, except for atomic fields. A client has the same number in all
// generators of a room.
type generator struct {
	*common
	cfg        Config
	load       load
	place      int   // among the generators of the room
	own        []int // its clients, in ascending order
	epoll      int
	fds        []int     // by client; -1: none yet, or another's
	tls        *fleetTLS // nil: they speak no TLS
	logins     *hist.Histogram
	connectLag *hist.Histogram // the generator's own lateness in connecting, with a ramp

	sliced        bool   // a fleet on a stage, which calls the hooks itself
	otherClients  int    // clients of other fleets in this process
	reach         int    // octets of the room's stream that the ledger remembers; 0: its own choice
	origin        int64  // when the load starts
	sections      uint64 // begun before this one: slices have two each
	from          int64  // when the timed section begins
	to            int64  // when it ends
	health        health
	queue         *queueSampler
	doneSending   bool   // this generator sends nothing more in this section
	allSent       bool   // no generator does
	lastDelivered uint64 // deliveries when that was last checked
	quiet         int64  // when the turn began whose poll found nothing; 0: the last poll found something
	lastAsked     int64  // when something last arrived, or the server was found starved; own stops are added
	lastTurn      int64  // when the turn before began; 0: there was none in this section
	stopped       int64  // how long the thread stood still since something arrived

	events []unix.EpollEvent
	in     []byte // room for an unfinished frame, followed by room for one recv
	front  int    // the length of the first of these

	interrupted atomic.Bool
	shown       published
}

// load is what a run puts on the server. Its methods run on the generator's thread.
type load interface {
	// begin: the clock is set; messages are due from now on.
	begin()
	// offer sends what is due by now.
	offer(now int64) error
	// received gets what came for client i at now, in[front:end].
	received(i, end int, now int64) error
	// writable: the kernel accepts data of client i again, after it had refused a send.
	writable(i int) error
	// served: the input of client i is handled; what may follow from it is sent.
	served(i int, now int64) error
	// counts says how far the load is: messages sent, deliveries, and those
	// deliveries of due or sent messages that are still missing.
	counts() (messages, delivered, missing uint64)
	// unsent is how many messages are due that the kernel has not taken.
	unsent() uint64
	// overtaken is how many deliveries cannot come any more, because a later one of the
	// same sender has come: these are lost, whatever delayed the server.
	overtaken() uint64
	// notice is what the server last told client i; "" if it said nothing.
	notice(i int) string
	// fill puts what was measured into the part.
	fill(p *Part)
}

func newGenerator(cfg Config, c *common, place, reach int) *generator {
	g := &generator{
		common:     c,
		place:      place,
		own:        c.shares[place],
		reach:      reach,
		cfg:        cfg,
		epoll:      -1,
		fds:        make([]int, cfg.Clients),
		logins:     hist.New(),
		connectLag: hist.New(),
		events:     make([]unix.EpollEvent, maxEvents),
	}
	for i := range g.fds {
		g.fds[i] = -1
	}
	g.cfg.Joining = max(1, cfg.Joining/len(c.shares))
	g.health, g.queue = newHealth(), newQueueSampler(cfg.Clients, g.own)
	if cfg.Scenario == Relay {
		g.load = newRelay(g)
	} else {
		g.load = newBroadcast(g)
	}
	g.in = make([]byte, g.front+readSize)
	return g
}

// now is the time since base.
func (g *generator) now() int64 { return int64(time.Since(g.base)) }

// drive runs until the section is over and everything has arrived, or nothing arrives any more.
func (g *generator) drive() error {
	defer g.stopSending()
	for {
		done, err := g.turn()
		if done || err != nil {
			return err
		}
	}
}

// begin sets the clock of a load that starts at origin: the timed section begins
// after a warm-up.
func (g *generator) begin(origin int64, warmup, duration time.Duration) {
	g.doneSending, g.allSent = false, false
	g.lastTurn, g.stopped = 0, 0
	g.origin = origin
	g.from = g.origin + int64(warmup)
	g.to = g.from + int64(duration)
	g.lastAsked = g.to
	g.load.begin()
	g.shown.phase.Store(int32(warming))
}

// turn does once what there is to do: send what is due, handle what came.
func (g *generator) turn() (done bool, err error) {
	start := g.now()
	g.noteStop(start)
	g.health.turn(start)
	if err := g.load.offer(start); err != nil {
		return false, err
	}
	if done, err = g.progress(start); done || err != nil {
		return done, err
	}
	_, err = g.poll(start)
	return false, err
}

// noteStop is told when a turn begins. A thread that spins takes more than a tenth of Drain for a
// turn only if it has no CPU, and then perhaps the server has none either: what goes beyond that
// is not time in which the server was silent.
func (g *generator) noteStop(now int64) {
	if stop := now - g.lastTurn - int64(g.cfg.Drain)/10; g.lastTurn > 0 && stop > 0 {
		g.stopped += stop
		g.lastAsked = max(g.lastAsked, g.lastArrival.Load()) + stop
	}
	g.lastTurn = now
}

// poll serves the clients that have input or can be written to, and says whether there were any.
func (g *generator) poll(now int64) (some bool, err error) {
	n, err := unix.EpollWait(g.epoll, g.events, 0)
	if err != nil && err != unix.EINTR {
		return false, err
	}
	g.health.polls++
	if g.quiet = 0; n <= 0 {
		g.quiet = now
	}
	for i := range max(n, 0) {
		g.health.worked = true
		if err := g.serve(g.events[i].Events, int(g.events[i].Fd), now); err != nil {
			return false, err
		}
	}
	return n > 0 || err == unix.EINTR, nil
}

// tail handles what comes after everything that was expected has arrived, here and at the other
// generators: a duplicate may come last. It takes at most Drain.
func (g *generator) tail() error {
	for until := g.now() + int64(g.cfg.Drain); g.now() < until; {
		if some, err := g.poll(g.now()); !some || err != nil {
			return err
		}
	}
	return nil
}

// serve handles one event of one client in the turn that began at now.
func (g *generator) serve(events uint32, i int, now int64) error {
	if events&^unix.EPOLLOUT != 0 {
		var err error
		if now, err = g.receive(i); err != nil {
			return err
		}
	}
	if events&unix.EPOLLOUT != 0 {
		if err := g.load.writable(i); err != nil {
			return err
		}
	}
	return g.load.served(i, now)
}

// receive reads from one client with one recv. Everything in it counts as received now: the
// clock is read once.
func (g *generator) receive(i int) (now int64, err error) {
	n, now, err := g.read(i)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return now, nil
	case err != nil || n == 0:
		return now, g.connectionLost(i, err)
	}
	g.health.recvs++
	g.health.octets += uint64(n)
	return now, g.load.received(i, g.front+n, now)
}

// progress moves from section to section, and says when the run is done.
func (g *generator) progress(now int64) (done bool, err error) {
	if g.interrupted.Load() {
		return false, ErrInterrupted
	}
	begun, ended := g.health.begun, g.health.ended
	g.health.noteTime(now, g.from, g.to)
	calls := !g.sliced && g.place == 0
	if g.health.begun != begun && calls {
		call(g.cfg.OnTimedStart)
	}
	if g.health.ended != ended && calls {
		call(g.cfg.OnTimedEnd)
	}
	g.publish(now)
	if now < g.to {
		return false, nil
	}
	unsent := g.load.unsent()
	if unsent == 0 {
		g.stopSending()
	}
	settled := g.sending.Load() == 0 // read before counts: after that nothing is sent
	_, delivered, missing := g.load.counts()
	if delivered != g.lastDelivered || settled != g.allSent {
		g.allSent, g.lastDelivered, g.lastAsked, g.stopped = settled, delivered, now, 0
		g.lastArrival.Store(now)
	}
	switch {
	case settled && missing == 0:
		return true, nil
	case settled || unsent > 0: // otherwise another generator is still sending
		return g.givesUp(now, missing)
	}
	return false, nil
}

// stopSending tells the others that this generator sends nothing more in this section.
func (g *generator) stopSending() {
	if !g.doneSending {
		g.doneSending = true
		if g.sending.Add(-1) == 1 && g.agent != nil {
			close(g.common.ownSent)
		}
	}
}

// overtakenWait is how long the generator waits, at most, for deliveries that were all overtaken by
// later ones of the same senders: they were lost or altered, unless the server has just exchanged them.
// A relay load counts otherwise what was overtaken, and waits for Drain.
const overtakenWait = 500 * time.Millisecond

// starvedDrains is how many times Drain a server may be kept from its CPU.
const starvedDrains = 10

// givesUp says whether what is missing is lost. The generator may have been without a CPU
// itself, so it gives up only after it has polled and found nothing. While another generator
// still receives something, this one may be next.
func (g *generator) givesUp(now int64, missing uint64) (bool, error) {
	arrived := max(g.to, g.lastArrival.Load())
	silent := time.Duration(g.quiet - max(arrived, g.lastAsked))
	switch {
	case silent <= min(g.cfg.Drain, overtakenWait):
		return false, nil
	case silent <= g.cfg.Drain:
		return g.cfg.Scenario != Relay && g.load.overtaken() == missing, nil
	case g.cfg.Starved == nil || g.load.overtaken() > 0 || !g.cfg.Starved():
		return true, nil
	case now-arrived-g.stopped > starvedDrains*int64(g.cfg.Drain):
		return false, fmt.Errorf("%w: nothing arrived for %v while the server was ready to run; give the server a CPU of its own", ErrStarved, time.Duration(now-arrived-g.stopped).Round(time.Second))
	}
	g.lastAsked = now
	return false, nil
}

// call calls a hook, unless it is nil.
func call(hook func()) {
	if hook != nil {
		hook()
	}
}

func (g *generator) timed(t int64) bool { return t >= g.from && t < g.to }

// watch sets the events that epoll reports of client i.
func (g *generator) watch(op, i int, events uint32) error {
	return unix.EpollCtl(g.epoll, op, g.fds[i], &unix.EpollEvent{Events: events, Fd: int32(i)})
}

// watchWritable also waits until the kernel accepts more data of client i; unwatchWritable
// stops that.
func (g *generator) watchWritable(i int) error {
	return g.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN|unix.EPOLLOUT)
}

func (g *generator) unwatchWritable(i int) error { return g.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN) }

func (g *generator) sinceStart(now int64) time.Duration {
	return time.Duration(now - g.origin).Round(time.Millisecond)
}

// write is one write of client i, as of write(2).
func (g *generator) write(i int, p []byte) (int, error) {
	if g.tls == nil {
		return unix.Write(g.fds[i], p)
	}
	return g.tls.sessions[i].write(p)
}

// reserve makes room in front of the input for the unfinished part of frames of this length.
func (g *generator) reserve(frame int) { g.front = max(g.front, ledger.MaxHeld(frame)) }
