package uring

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/absence"
	"chatbench/backends/internal/coalesce"
	"chatbench/backends/internal/linger"
	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/readiness"
	"chatbench/backends/internal/ring"
	"chatbench/core"
)

const (
	submissions = 1024              // operations that one enter hands over at most
	bufferSize  = backends.FeedStep // octets of what has come that one completion brings
	bufferCount = 256               // a power of two
	// kernelAtOnce is how many operations that became ready the kernel works on in one call
	// (IO_LOCAL_TW_DEFAULT_MAX of io_uring/io_uring.h, since Linux 6.13).
	kernelAtOnce = 20
	bufferGroup  = 0         // the only one
	turnOctets   = 256 << 10 // fed in a turn before it flushes in the middle
	leastQueued  = 4096      // completions for which there is room; others wait in the kernel's memory
	perClient    = 2         // completions of a client in a turn, as a rule
)

// What an operation is for: the lowest octet of what it is submitted with. Above it is the descriptor.
const (
	forBell = iota
	forListener
	forReceive
	forSend
	forStopListener // cancels
	forStopReceive
	forStopSend
)

func user(fd int, what uint64) uint64 { return uint64(fd)<<8 | what }

// loop is an event loop with its listener and its connections.
type loop struct {
	cfg      backends.Config
	clients  int               // that it has if all have as many
	member   *loopgroup.Member // of the loops of the server
	ring     *ring.Ring
	buffers  *ring.Buffers
	listener *listener
	bell     *readiness.Doorbell

	// Work noted by any goroutine.
	mu       sync.Mutex // guards mail and ended
	mail     []*conn    // sessions with output of their own, or that must close
	ended    bool
	stopping atomic.Bool
	cutting  atomic.Bool

	// The loop's own.
	conns       []*conn // by descriptor
	live        []*conn
	recipients  []*conn // in the room and not blocked: who is written to when it has grown
	lingering   linger.Queue[*conn]
	held        absence.List[*conn]
	spareMail   []*conn
	completions [256]ring.CQE
	input       []received // in the order in which it is to be worked through
	offered     []*conn    // whose sends are filled in and not submitted
	spareOffer  []*conn
	round       uint32 // of submitting sends
	read        int    // octets since the last flush
	cut         bool   // all connections are dropped
	timer       backends.TurnTimer

	// Of a loop whose output may wait.
	coalesce *coalesce.Controller // nil: it does not
	clock    coalesce.CPUClock
	woke     time.Time // when the turn began
}

// conn is one connection.
type conn struct {
	loop    *loop
	fd      int
	session *core.Session
	place   int         // in loop.live
	seat    int         // in loop.recipients; -1: not there
	mailed  atomic.Bool // is in loop.mail
	inRoom  bool        // was granted, as far as the loop knows

	sending bool   // a send is in flight,
	flight  []byte // of these octets,
	round   uint32 // offered in this round
	due     uint64 // what the room had said when it last had output of its own: it goes along
	blocked bool   // the send in flight has found the socket full
	undoing bool   // the send in flight is to be cancelled
	failed  bool   // a send has failed, and there are no more

	receiving bool   // a receive is in flight
	ended     bool   // the last receive has found the end, or an error
	eof       bool   // that it was the end has been worked through, but what comes before it has not
	paused    bool   // is not read: its session is Held
	backlog   []byte // came before reading stopped, and is not fed yet

	absence absence.Watch
	reset   bool // a send has told so, and no receive will
	leaving bool // our FIN is sent
	gone    bool // its session has left; its descriptor is closed when nothing is in flight
	unread  bool // a receive has taken something of it when it was gone
}

// newLoop makes one of so many loops, without its ring, which openRing makes on the
// loop's thread, and without the others.
func newLoop(cfg backends.Config, loops int) (*loop, error) {
	l := &loop{cfg: cfg, clients: (cfg.MaxClients + loops - 1) / loops, timer: cfg.Counters.TurnTimer()}
	var err error
	if l.listener, err = listen(cfg, loops > 1); err != nil {
		return nil, err
	}
	if l.bell, err = readiness.NewDoorbell(); err != nil {
		l.listener.close()
		return nil, fmt.Errorf("uring: %w", err)
	}
	return l, nil
}

// openRing makes the ring. If it fails, close is called all the same.
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
	l.listener.close()
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
	if c.mailed.Load() || c.mailed.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.ended {
		l.mail = append(l.mail, c)
	}
	l.mu.Unlock()
	l.member.Wake()
}

// HasOutput is for loopgroup.Loop.
func (l *loop) HasOutput() bool {
	return l.member.Grew() || l.hasMail()
}

// hasMail says whether a session has output of its own, or must close.
func (l *loop) hasMail() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mail) > 0
}

// Flush is for loopgroup.Loop.
func (l *loop) Flush() { l.flush() }

// Cutting is for loopgroup.Loop.
func (l *loop) Cutting() bool { return l.cutting.Load() }

// run turns until the loop is told to stop and its last connection is gone.
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
			l.woke = time.Now()
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
		l.writeDue()
		if l.lingering.Len() > 0 {
			l.endLingering(time.Now())
		}
		if l.held.Len() > 0 {
			l.held.Look(time.Now())
		}
		if l.listener.resting() {
			l.endRest(time.Now())
		}
		l.timer.Over()
	}
}

// stopped says whether a loop that is to stop has come to its end.
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

// retire says that nobody is noted any more, and no socket is taken from other loops. It
// is false if there is one that came just now.
func (l *loop) retire() bool {
	if !l.member.Retire() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.mail = true, nil
	return true
}

// gather takes all completions, also of operations that were ready and that the kernel
// has not come to: of those it works on few in one call. A turn takes no more than fills
// the buffers, and of a client that sends without end what one call brings.
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

// reap takes all completions there are. Sends are worked through at once, for they
// make room; what has come is put in the queue of input.
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
	fd := int(done.User >> 8)
	switch what := done.User & 0xff; what {
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

// cancelAgain cancels an operation that was just between two waits, and so was not
// found, if that is still wanted.
func (l *loop) cancelAgain(fd int, what uint64) {
	if what == forStopListener {
		l.unwatchListener()
		return
	}
	switch c := l.conns[fd]; {
	case c == nil || c.gone:
	case what == forStopReceive && c.paused:
		l.stopReceiving(c)
	case what == forStopSend && c.undoing:
		l.stopSending(c)
	}
}

func (l *loop) watchBell() { l.ring.Poll(l.bell.FD, unix.POLLIN, user(l.bell.FD, forBell)) }

// adoptArrivals makes connections of the sockets that other loops have handed over.
func (l *loop) adoptArrivals() {
	for _, a := range l.member.Arrivals() {
		l.adopt(a.FD, a.Peer)
	}
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(fd int, peer netip.AddrPort) {
	c := &conn{loop: l, fd: fd, seat: -1}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, len(l.conns)+64)...)
	}
	l.conns[fd] = c
	c.place = len(l.live)
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	l.receive(c)
	if _, closing := c.session.Closing(); closing {
		l.write(c)
	}
}
