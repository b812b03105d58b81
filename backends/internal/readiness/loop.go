package readiness

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
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

const (
	readSize   = 16 << 10  // octets in one read: one client must not occupy the loop for long
	turnOctets = 256 << 10 // octets read before the loop flushes in the middle of a turn
	turnEvents = 512       // events taken from the poller at once
)

// loop is one event loop, with its listener and its connections.
type loop struct {
	cfg            backends.Config
	poller         Poller
	listener       *socket.Listener
	bell           *Doorbell
	keepsProcessor bool              // waits briefly without giving its processor away
	member         *loopgroup.Member // in the group of the room's loops

	// Set by any goroutine.
	mu       sync.Mutex // guards wakes and ended
	wakes    []*conn    // sessions that the room has woken: they have output of their own, or must close
	ended    bool
	stopping atomic.Bool
	cutting  atomic.Bool

	// Used only by the loop's goroutine.
	conns      []*conn // by descriptor
	live       []*conn
	recipients []*conn // granted and not blocked: a flush writes to these
	lingering  linger.Queue[*conn]
	held       peerwatch.List[*conn]
	spareWakes []*conn
	events     []Event
	buf        []byte
	read       int // octets since the last flush
	timer      backends.TurnTimer
	generation uint32 // generation of the newest connection

	// If the poller writes.
	batch  BatchWriter // nil: it does not
	writes []Write     // queued for it

	// If output may wait.
	coalesce  *coalesce.Controller // nil: output does not wait
	turnBegan time.Time            // when the turn began
	idle      time.Duration        // how long the loop has slept in all
}

// conn is one connection.
type conn struct {
	loop           *loop
	id             ID
	session        *core.Session
	index          int         // in loop.live
	recipientIndex int         // in loop.recipients, or -1
	inWakes        atomic.Bool // is in loop.wakes
	inRoom         bool        // its login was granted, as far as the loop knows
	blocked        bool        // the kernel took less than was offered
	paused         bool        // not read, because its session is Held
	peer           peerwatch.Watch
	reset          bool // a write has reported a reset, which no read will
	finSent        bool // our FIN is sent
	gone           bool
}

// newLoop makes a loop. If it fails it closes everything. It listens before it opens a poller: if both
// fail, the error is the listener's, as it is with all transports.
func newLoop(cfg backends.Config, newPoller func() (Poller, error), share bool) (*loop, error) {
	l := &loop{cfg: cfg, events: make([]Event, turnEvents), buf: make([]byte, readSize), timer: cfg.Counters.TurnTimer()}
	l.coalesce = coalesce.New(cfg.Coalesce, l.moment())
	var err error
	if l.bell, err = NewDoorbell(); err != nil {
		return nil, fmt.Errorf("readiness: %w", err)
	}
	l.member = loopgroup.New(cfg.Room, l.bell)[0] // a group of its own until joinGroup
	if l.listener, err = socket.ListenLoop(cfg, share); err != nil {
		l.bell.Close()
		return nil, err
	}
	if l.poller, err = newPoller(); err != nil {
		l.bell.Close()
		l.listener.Close()
		return nil, fmt.Errorf("readiness: opening a poller: %w", err)
	}
	l.batch, _ = l.poller.(BatchWriter)
	for _, fd := range []int{l.bell.FD, l.listener.FD} {
		if err := l.poller.Add(newID(fd, 0)); err != nil {
			l.close()
			return nil, fmt.Errorf("readiness: watching the listener: %w", err)
		}
	}
	return l, nil
}

func (l *loop) close() {
	l.stopListening()
	l.bell.Close()
	_ = l.poller.Close()
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

// run runs turns until the loop is stopped and its last connection has ended.
func (l *loop) run() error {
	defer l.close()
	defer l.member.End()
	for {
		if l.stopping.Load() && l.stopped() {
			return nil
		}
		n, err := l.wait()
		if err != nil {
			l.abort()
			return fmt.Errorf("readiness: waiting: %w", err)
		}
		l.timer.Begin()
		for _, e := range l.events[:n] {
			l.handle(e)
		}
		l.adoptArrivals()
		l.flushUnlessWaiting()
		if l.lingering.Len() > 0 {
			l.endLingering(time.Now())
		}
		if l.held.Len() > 0 {
			l.held.Check(time.Now())
		}
		if l.listener.Paused() {
			l.resumeAccepting(time.Now())
		}
		l.timer.Over()
	}
}

// stopped says whether a loop that was stopped has ended everything.
func (l *loop) stopped() bool {
	l.stopListening()
	l.adoptArrivals()
	if l.cutting.Load() {
		l.cutAll()
	}
	return len(l.live) == 0 && l.retire()
}

func (l *loop) handle(e Event) {
	fd := e.ID.FD()
	switch {
	case fd == l.bell.FD:
		l.bell.Clear()
		return
	case fd == l.listener.FD:
		l.accept()
		return
	}
	if fd >= len(l.conns) {
		return
	}
	c := l.conns[fd]
	if c == nil || c.id != e.ID {
		return // it was closed earlier in this turn
	}
	if e.Writable && c.blocked {
		c.blocked = false
		l.addRecipient(c)
		if l.watch(c) {
			l.write(c)
		}
	}
	if e.Readable && !c.gone {
		l.readFrom(c)
	}
}

// readFrom reads once from a client.
func (l *loop) readFrom(c *conn) {
	n, err := recv(c.id.FD(), l.buf)
	switch {
	case n > 0:
		if c.finSent {
			return // discard it
		}
		l.cfg.Counters.Reads.Add(1)
		l.cfg.Counters.BytesIn.Add(int64(n))
		l.feed(c, l.buf[:n])
	case n == 0 && err == nil && !c.reset:
		l.drop(c, core.ReasonEOF)
	case err != unix.EAGAIN && err != unix.EINTR:
		l.drop(c, core.ReasonReset)
	}
}

// feed feeds what a client has sent, in steps. Between two steps the loop may write to its clients,
// and that can end the client that is being fed.
func (l *loop) feed(c *conn, in []byte) {
	for len(in) > 0 && !c.finSent && !c.gone {
		step := min(len(in), backends.FeedStep)
		l.member.BeginFeeding()
		c.session.Feed(in[:step])
		in = in[step:]
		l.read += step
		l.catchUp()
	}
	l.pauseOrResume(c)
}

// pauseOrResume stops reading a client whose session is Held, and reads it again when it is not
// Held any more. If the poller reports meanwhile that the connection is broken, it is read to its
// end all the same. Otherwise the check of loop.held finds that.
func (l *loop) pauseOrResume(c *conn) {
	if held := c.session.Held(); held != c.paused && !c.finSent && !c.gone {
		c.paused = held
		if l.watch(c) && held {
			l.held.Add(c)
		}
	}
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(fd int, peer netip.AddrPort) {
	l.generation++
	c := &conn{loop: l, id: newID(fd, l.generation), recipientIndex: -1}
	if err := l.poller.Add(c.id); err != nil {
		l.cfg.Counters.NoDescriptors.Add(1)
		l.listener.LogLimit.Warn(l.cfg.Log, "a connection is turned away", "err", err)
		l.member.ConnEnded()
		_ = unix.Close(fd)
		return
	}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, len(l.conns)+64)...)
	}
	l.conns[fd] = c
	c.index = len(l.live)
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	if _, closing := c.session.Closing(); closing {
		l.write(c)
	}
}
