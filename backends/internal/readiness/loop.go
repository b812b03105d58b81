package readiness

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
	"chatbench/core"
)

const (
	readSize    = 16 << 10  // octets one read takes: one client must not hold the loop for long
	turnOctets  = 256 << 10 // read in a turn before it flushes in the middle
	turnEvents  = 512       // taken from the poller at once
	turnAccepts = 64        // connections taken in a turn
)

// loop is one event loop with its listener and its connections.
type loop struct {
	cfg      backends.Config
	poller   Poller
	listener *listener
	bell     *Doorbell
	holds    bool              // waits with its processor in hand
	member   *loopgroup.Member // of the loops that serve the same room

	// Work noted by any goroutine.
	mu       sync.Mutex // guards mail and ended
	mail     []*conn    // sessions with output of their own, or that must close
	ended    bool
	stopping atomic.Bool
	cutting  atomic.Bool

	// The loop's own.
	conns      []*conn // by descriptor
	live       []*conn
	recipients []*conn // in the room and not blocked: who is written to when it has grown
	lingering  linger.Queue[*conn]
	held       absence.List[*conn]
	spareMail  []*conn
	events     []Event
	buf        []byte
	read       int // octets since the last flush
	timer      backends.TurnTimer
	born       uint32 // generation of the newest connection

	// Of a loop whose poller writes.
	batch  BatchWriter // nil: it does not
	writes []Write     // that were offered

	// Of a loop whose output may wait.
	coalesce *coalesce.Controller // nil: it does not
	woke     time.Time            // when the turn began
	idle     time.Duration        // for how long the loop slept, in all
}

// conn is one connection.
type conn struct {
	loop    *loop
	id      ID
	session *core.Session
	place   int         // in loop.live
	seat    int         // in loop.recipients; -1: not there
	mailed  atomic.Bool // is in loop.mail
	inRoom  bool        // was granted, as far as the loop knows
	blocked bool        // the kernel took less than was offered
	paused  bool        // is not read: its session is Held
	absence absence.Watch
	reset   bool // a write has told so, and no read will
	leaving bool // our FIN is sent
	gone    bool
}

// newLoop makes a loop. It listens before it opens a poller, so that whoever can do neither says
// why it cannot listen, as all transports do.
func newLoop(cfg backends.Config, newPoller func() (Poller, error), share bool) (*loop, error) {
	l := &loop{cfg: cfg, events: make([]Event, turnEvents), buf: make([]byte, readSize), timer: cfg.Counters.TurnTimer()}
	l.coalesce = coalesce.New(cfg.Coalesce, l.moment())
	var err error
	if l.bell, err = NewDoorbell(); err != nil {
		return nil, fmt.Errorf("readiness: %w", err)
	}
	l.member = loopgroup.New(cfg.Room, l.bell)[0] // alone, until it is told of others
	if l.listener, err = listen(cfg, share); err != nil {
		l.bell.Close()
		return nil, err
	}
	if l.poller, err = newPoller(); err != nil {
		l.bell.Close()
		l.listener.close()
		return nil, fmt.Errorf("readiness: opening a poller: %w", err)
	}
	l.batch, _ = l.poller.(BatchWriter)
	for _, fd := range []int{l.bell.FD, l.listener.fd} {
		if err := l.poller.Add(newID(fd, 0)); err != nil {
			l.close()
			return nil, fmt.Errorf("readiness: watching the listener: %w", err)
		}
	}
	return l, nil
}

func (l *loop) close() {
	l.listener.stop(l.poller)
	l.bell.Close()
	_ = l.poller.Close()
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

// run turns until the loop is told to stop and its last connection is gone.
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
	l.listener.stop(l.poller)
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
	case fd == l.listener.fd:
		l.accept()
		return
	}
	if fd >= len(l.conns) {
		return
	}
	c := l.conns[fd]
	if c == nil || c.id != e.ID {
		return // closed earlier in this turn
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

// readFrom takes what a client has sent, one read a turn.
func (l *loop) readFrom(c *conn) {
	n, err := recv(c.id.FD(), l.buf)
	switch {
	case n > 0:
		if c.leaving {
			return // thrown away
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

// feed hands on what a client has sent, in steps. Between two steps clients may
// be written to, and that can end the one that is being read.
func (l *loop) feed(c *conn, in []byte) {
	for len(in) > 0 && !c.leaving && !c.gone {
		step := min(len(in), backends.FeedStep)
		l.member.Feeding()
		c.session.Feed(in[:step])
		in = in[step:]
		l.read += step
		l.catchUp()
	}
	l.pauseOrResume(c)
}

// pauseOrResume stops reading a client whose session is Held, and goes on when it
// is not any more. Meanwhile a poller may still tell that the connection is
// broken: then it is read all the same, to its end. Otherwise looking at those held finds it.
func (l *loop) pauseOrResume(c *conn) {
	if held := c.session.Held(); held != c.paused && !c.leaving && !c.gone {
		c.paused = held
		if l.watch(c) && held {
			l.held.Add(c)
		}
	}
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(fd int, peer netip.AddrPort) {
	l.born++
	c := &conn{loop: l, id: newID(fd, l.born), seat: -1}
	if err := l.poller.Add(c.id); err != nil {
		l.cfg.Counters.NoDescriptors.Add(1)
		l.listener.lines.Warn(l.cfg.Log, "a connection is turned away", "err", err)
		l.member.Left()
		_ = unix.Close(fd)
		return
	}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, len(l.conns)+64)...)
	}
	l.conns[fd] = c
	c.place = len(l.live)
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	if _, closing := c.session.Closing(); closing {
		l.write(c)
	}
}
