package uring

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/coalesce"
	"chatbench/backends/internal/linger"
	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/peerwatch"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

const (
	submissions = 1024              // operations submitted by one enter at most
	bufferSize  = backends.FeedStep // octets of input in one completion
	bufferCount = 256               // a power of two
	// kernelAtOnce is how many ready operations the kernel completes in one call
	// (IO_LOCAL_TW_DEFAULT_MAX of io_uring/io_uring.h, since Linux 6.13).
	kernelAtOnce = 20
	bufferGroup  = 0         // the only one
	turnOctets   = 256 << 10 // octets fed before the loop flushes in the middle of a turn
	leastQueued  = 4096      // least room for completions; more wait in the kernel's memory
	perClient    = 2         // completions of one client in a turn, usually
)

// What an operation is for: the lowest octet of its user data. The descriptor is above it.
const (
	forBell = iota
	forListener
	forReceive
	forSend
	forStopListener // these three cancel
	forStopReceive
	forStopSend
)

func userData(fd int, what uint64) uint64 { return uint64(fd)<<8 | what }

// loop is one event loop, with its listener and its connections.
type loop struct {
	cfg      backends.Config
	clients  int               // how many it has if all loops have the same number
	member   *loopgroup.Member // in the group of the room's loops
	ring     *ring.Ring
	buffers  *ring.Buffers
	listener listener
	bell     *readiness.Doorbell

	// Set by any goroutine.
	mu       sync.Mutex // guards wakes and ended
	wakes    []*conn    // sessions that the room has woken: they have output of their own, or must close
	ended    bool
	stopping atomic.Bool
	cutting  atomic.Bool

	// Used only by the loop's goroutine.
	conns            []*conn // by descriptor
	live             []*conn
	recipients       []*conn // granted and not blocked: a flush writes to these
	lingering        linger.Queue[*conn]
	peers            peerwatch.List[*conn] // clients to check: they are not read, or their receive may have missed their end
	spareWakes       []*conn
	completions      [256]ring.CQE
	input            []received // input in the order in which it has to be handled
	again            []*conn    // connections whose receive has ended; it is repeated at the end of the turn's input
	unsubmitted      []*conn    // connections whose sends are filled in and not submitted
	spareUnsubmitted []*conn
	round            uint32 // number of the current submission of sends
	read             int    // octets since the last flush
	cut              bool   // all connections are dropped
	timer            backends.TurnTimer

	// If output may wait.
	coalesce  *coalesce.Controller // nil: output does not wait
	clock     coalesce.CPUClock
	turnBegan time.Time // when the turn began
}

// conn is one connection.
type conn struct {
	loop           *loop
	fd             int
	session        *core.Session
	index          int         // in loop.live
	recipientIndex int         // in loop.recipients, or -1
	inWakes        atomic.Bool // is in loop.wakes
	inRoom         bool        // its login was granted, as far as the loop knows

	sending    bool   // a send is in flight
	inFlight   []byte // the octets of that send
	round      uint32 // the round in which it was submitted
	dueUpTo    uint64 // Room.Said when it last had output of its own: it is sent everything up to there
	blocked    bool   // the send in flight found the socket full
	cancelling bool   // the send in flight has to be cancelled
	failed     bool   // a send has failed, and there are no more

	receiving bool   // a receive is in flight
	ended     bool   // the last receive found the end, or an error
	eof       bool   // the client's FIN is handled, but input before it may wait in backlog
	paused    bool   // not read, because its session is Held
	backlog   []byte // input that is not fed yet

	peer      peerwatch.Watch
	reset     bool // a send has reported a reset, which no receive will
	finSent   bool // our FIN is sent
	gone      bool // its session was left; the descriptor is closed when nothing is in flight
	discarded bool // a receive took input after it was dropped
}

// newLoop makes one of the given number of loops. openRing makes its ring, on the loop's thread.
func newLoop(cfg backends.Config, loops int) (*loop, error) {
	l := &loop{cfg: cfg, clients: (cfg.MaxClients + loops - 1) / loops, timer: cfg.Counters.TurnTimer()}
	var err error
	if l.listener.Listener, err = socket.ListenLoop(cfg, loops > 1); err != nil {
		return nil, err
	}
	if l.bell, err = readiness.NewDoorbell(); err != nil {
		l.listener.Close()
		return nil, fmt.Errorf("uring: %w", err)
	}
	return l, nil
}

// openRing makes the ring. close has to be called even if it fails.
func (l *loop) openRing() error {
	queued := max(perClient*l.clients, leastQueued)
	r, err := ring.New(submissions, queued)
	if err != nil {
		return fmt.Errorf("uring: %w", err)
	}
	l.ring = r
	if l.buffers, err = r.NewBuffers(bufferGroup, bufferCount, bufferSize); err != nil {
		return fmt.Errorf("uring: %w", err)
	}
	return nil
}

func (l *loop) close() {
	l.listener.Close()
	if l.ring != nil {
		l.ring.Close()
	}
	if l.buffers != nil {
		l.buffers.Free()
	}
	l.bell.Close()
}

// WakeRoom notes that the log has grown.
func (l *loop) WakeRoom() { l.member.WakeRoom() }

// Wake notes that a session has output of its own, or must close.
func (l *loop) Wake(s *core.Session) {
	c := s.Tag().(*conn)
	if c.inWakes.Load() || c.inWakes.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.ended {
		l.wakes = append(l.wakes, c)
	}
	l.mu.Unlock()
	l.member.Wake()
}

// HasOutput implements loopgroup.Loop.
func (l *loop) HasOutput() bool {
	return l.member.Grew() || l.hasWakes()
}

// hasWakes says whether sessions were woken that are not handled yet.
func (l *loop) hasWakes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wakes) > 0
}

// Flush implements loopgroup.Loop.
func (l *loop) Flush() { l.flush() }

// Cutting implements loopgroup.Loop.
func (l *loop) Cutting() bool { return l.cutting.Load() }

// run runs turns until the loop is stopped and its last connection has ended.
func (l *loop) run() error {
	defer l.close()
	defer l.member.End()
	l.startCoalescing()
	l.watchBell()
	l.watchListener()
	for {
		if l.stopping.Load() && l.stopped() {
			return nil
		}
		err := l.wait()
		l.timer.Begin()
		if l.coalesce != nil {
			l.turnBegan = time.Now()
		}
		if err == nil {
			err = l.gather()
		}
		if err != nil {
			l.abort()
			return fmt.Errorf("uring: waiting: %w", err)
		}
		l.takeInput()
		l.adoptArrivals()
		l.flushUnlessWaiting()
		if l.lingering.Len() > 0 {
			l.endLingering(time.Now())
		}
		if l.peers.Len() > 0 {
			l.peers.Check(time.Now())
		}
		if l.listener.Paused() {
			l.resumeAccepting(time.Now())
		}
		l.timer.Over()
	}
}

// stopped says whether a loop that was stopped has ended everything.
func (l *loop) stopped() bool {
	if !l.stopListening() {
		return false
	}
	l.adoptArrivals()
	if l.cutting.Load() {
		l.cutAll()
	}
	return len(l.live) == 0 && l.retire()
}

// retire says that the loop takes no more sockets from other loops, and discards wakes. It returns
// false if there are sockets that the loop has not taken yet.
func (l *loop) retire() bool {
	if !l.member.Retire() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.wakes = true, nil
	return true
}

// gather takes all completions. The kernel completes only a few ready operations in one call, so
// gather calls it again for the rest. A turn takes no more input than fills the buffers, and of a
// client that sends without end only what one call returns.
func (l *loop) gather() error {
	for {
		before := len(l.input)
		l.reap()
		receives := 0
		for i := before; i < len(l.input); i++ {
			if i == before || l.input[i].conn != l.input[i-1].conn {
				receives++
			}
		}
		if receives < kernelAtOnce || len(l.input) >= bufferCount {
			return nil
		}
		if err := l.ring.Wait(0, true); err != nil {
			return err
		}
	}
}

// reap takes all completions there are. Sends are handled at once, because more can be sent then;
// input is queued.
func (l *loop) reap() {
	for {
		n := l.ring.Reap(l.completions[:])
		for i := range n {
			l.completed(&l.completions[i])
		}
		if n < len(l.completions) {
			return
		}
	}
}

func (l *loop) completed(done *ring.CQE) {
	fd := int(done.UserData >> 8)
	switch what := done.UserData & 0xff; what {
	case forBell:
		l.bell.Clear()
		l.watchBell()
	case forListener:
		l.listenerReady()
	case forReceive:
		l.received(l.conns[fd], done)
	case forSend:
		l.sent(l.conns[fd], done)
	case forStopListener, forStopReceive, forStopSend:
		if done.Err() == unix.ENOENT {
			l.cancelAgain(fd, what)
		}
	}
}

// cancelAgain repeats a cancel, if it is still wanted: the kernel did not find the operation, because
// it was about to run again.
func (l *loop) cancelAgain(fd int, what uint64) {
	if what == forStopListener {
		l.unwatchListener()
		return
	}
	switch c := l.conns[fd]; {
	case c == nil:
	case what == forStopReceive && (c.paused || c.gone):
		l.stopReceiving(c)
	case what == forStopSend && c.cancelling && !c.gone:
		l.stopSending(c)
	}
}

func (l *loop) watchBell() { l.ring.Poll(l.bell.FD, unix.POLLIN, userData(l.bell.FD, forBell)) }

// adoptArrivals makes connections of the sockets that other loops have handed over.
func (l *loop) adoptArrivals() {
	for _, a := range l.member.Arrivals() {
		l.adopt(a.FD, a.Peer)
	}
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(fd int, peer netip.AddrPort) {
	c := &conn{loop: l, fd: fd, recipientIndex: -1}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, len(l.conns)+64)...)
	}
	l.conns[fd] = c
	c.index = len(l.live)
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	l.receive(c)
	if _, closing := c.session.Closing(); closing {
		l.write(c)
	}
}
