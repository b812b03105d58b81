package loadgen

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
	"chatbench/loadgen/pin"
)

const (
	readSize  = 512 << 10 // of one recv
	writeSize = 64 << 10  // of one send, about
	maxEvents = 1024      // of one epoll_wait
)

// generator is one run: everything in it belongs to the one locked thread but
// what is atomic.
type generator struct {
	cfg     Config
	script  message.Script
	book    *ledger.Book
	epoll   int
	clients []client
	senders []sender

	base     time.Time // all times below count from here
	from     int64     // the timed section begins
	to       int64     // and ends
	health   health
	arrived  int64  // when something was last seen to have arrived
	had      uint64 // deliveries by then
	schedule Schedule
	origin   int64  // what the schedule counts from
	number   uint64 // the next message of the schedule
	nextDue  int64  // when it is due
	waiting  uint64 // messages that are due and the kernel did not take yet
	dirty    []int  // senders to whom something was queued

	events []unix.EpollEvent
	in     []byte // room for what was left over, then for one recv
	front  int    // length of that room
	out    []byte

	interrupted atomic.Bool
	shown       shown
}

// client is one connection.
type client struct {
	fd     int
	sender int    // its number as a sender, or -1
	held   []byte // an unfinished frame
}

// sender is what a client that sends has besides.
type sender struct {
	client  int
	queued  uint64 // messages to send so far
	tried   uint64 // messages the kernel was offered
	taken   uint64 // octets the kernel took
	blocked bool   // the kernel takes no more for now
	dirty   bool
}

func newGenerator(cfg Config) *generator {
	g := &generator{
		cfg:     cfg,
		script:  message.Script{Seed: cfg.Seed, Size: int(cfg.Size)},
		epoll:   -1,
		clients: make([]client, cfg.Clients),
		senders: make([]sender, cfg.Senders),
		dirty:   make([]int, 0, cfg.Senders),
		events:  make([]unix.EpollEvent, maxEvents),
		health:  newHealth(),
		base:    time.Now(),
	}
	at := cfg.senders()
	g.book = ledger.New(ledger.Config{Script: g.script, Clients: cfg.Clients, Senders: at, Window: cfg.Window})
	for i := range g.clients {
		g.clients[i] = client{fd: -1, sender: -1, held: make([]byte, 0, min(g.script.SaidLen(), 512))}
	}
	for i := range g.senders {
		g.senders[i].client = at[i]
		g.clients[at[i]].sender = i
	}
	g.front = ledger.MaxHeld(g.script.SaidLen())
	g.in = make([]byte, g.front+readSize)
	g.out = make([]byte, writeSize+g.script.FrameLen())
	if cfg.Window == 0 {
		g.schedule = cfg.schedule()
	}
	return g
}

// now is the time since base.
func (g *generator) now() int64 { return int64(time.Since(g.base)) }

// run takes the thread it is called on for good: the goroutine that calls it
// must end afterwards, and the thread with it, CPU mask and all.
func (g *generator) run() error {
	runtime.LockOSThread()
	if err := pin.Thread(g.cfg.CPU); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer g.disconnect()
	if err := g.connect(); err != nil {
		return err
	}
	g.begin()
	for {
		done, err := g.turn()
		if done || err != nil {
			return err
		}
	}
}

// begin sets the clock of the run: the load starts in a millisecond.
func (g *generator) begin() {
	g.origin = g.now() + int64(time.Millisecond)
	g.from = g.origin + int64(g.cfg.Warmup)
	g.to = g.from + int64(g.cfg.Duration)
	g.book.Timed(g.from, g.to)
	g.arrived = g.to
	if g.schedule != nil {
		g.nextDue = g.origin + int64(g.schedule.Due(0))
	}
	g.shown.phase.Store(int32(warmup))
}

// turn does once whatever there is to do: offer what is due, take what came.
func (g *generator) turn() (done bool, err error) {
	start := g.now()
	g.health.turn(start)
	if err := g.offer(start); err != nil {
		return false, err
	}
	if done, err = g.progress(start); done || err != nil {
		return done, err
	}
	n, err := unix.EpollWait(g.epoll, g.events, 0)
	if err != nil && err != unix.EINTR {
		return false, err
	}
	g.health.polls++
	for i := range max(n, 0) {
		g.health.worked = true
		if err := g.serve(g.events[i].Events, int(g.events[i].Fd), start); err != nil {
			return false, err
		}
	}
	return false, nil
}

// serve deals with one event of one client in the turn that began at now.
func (g *generator) serve(events uint32, i int, now int64) error {
	if events&^unix.EPOLLOUT != 0 {
		var err error
		if now, err = g.receive(i); err != nil {
			return err
		}
	}
	s := g.clients[i].sender
	if events&unix.EPOLLOUT != 0 && g.senders[s].blocked {
		g.senders[s].blocked = false
		g.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN)
		if err := g.flush(s); err != nil {
			return err
		}
	}
	if g.cfg.Window > 0 {
		if s >= 0 && now < g.to {
			return g.refill(s)
		}
		return nil
	}
	return g.offer(now) // what has become due meanwhile does not wait for the other clients
}

// progress passes from section to section, and says when the run is done.
func (g *generator) progress(now int64) (done bool, err error) {
	if g.interrupted.Load() {
		return false, ErrInterrupted
	}
	begun, ended := g.health.begun, g.health.ended
	g.health.pass(now, g.from, g.to)
	if g.health.begun != begun {
		call(g.cfg.OnTimedStart)
	}
	if g.health.ended != ended {
		call(g.cfg.OnTimedEnd)
	}
	g.show(now)
	if now < g.to {
		return false, nil
	}
	if d := g.book.Delivered(); d != g.had {
		g.had, g.arrived = d, now
	}
	all := g.book.Missing() == 0 && g.waiting == 0
	if done = all || now-g.arrived > int64(g.cfg.Drain); done {
		call(g.cfg.OnQuiet)
	}
	return done, nil
}

// call calls a hook that may not be there.
func call(hook func()) {
	if hook != nil {
		hook()
	}
}

func (g *generator) watch(op, i int, events uint32) error {
	return unix.EpollCtl(g.epoll, op, g.clients[i].fd, &unix.EpollEvent{Events: events, Fd: int32(i)})
}
