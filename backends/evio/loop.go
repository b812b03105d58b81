package evio

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/linger"
	"chatbench/core"
	"chatbench/internal/loglimit"
	"chatbench/internal/tcp"
)

const readSize = 64 << 10

// loop is what evio's callbacks work on, and the room's Waker.
type loop struct {
	cfg  backends.Config
	bell bell

	// Set by any goroutine.
	roomGrew    atomic.Bool // the log has grown
	stopping    atomic.Bool
	cutting     atomic.Pointer[error] // why connections are cut
	logLimit    loglimit.Limit
	mu          sync.Mutex
	wakes       []*conn // sessions with output of their own, or that must close
	wakesClosed bool    // the loop has ended: wakes are discarded

	// Set before evio runs the loop.
	addr     netip.AddrPort // where it is bound
	bellPeer netip.AddrPort // the bell's other end

	// Used only by the loop's goroutine.
	acceptor   *acceptor
	haveLayout bool // layout is set
	layout     layout
	ready      chan error // told when the bell is attached, or why it is not
	failed     error      // why the loop has to end
	cut        error      // some connections were cut
	buf        []byte
	out        []byte // buffer of gatherOutput; evio copies it
	given      *conn  // was given givenSize octets of the log, for which Wrote is still to be called
	givenSize  int

	live        []*conn
	open        []*conn // have output under way
	waiting     []*conn // have unfed input
	closedUnfed int     // how many of these evio has closed
	spareWakes  []*conn
	lingering   linger.Queue[*conn]
	round       int       // connections the round waits for
	roundStart  uint64    // Room.Said when it began
	stalls      int       // stalled connections
	idleTurns   int       // turns since something was sent
	polledAt    time.Time // when stalled connections were last polled
}

func newLoop(cfg backends.Config) *loop {
	return &loop{cfg: cfg, ready: make(chan error, 1), buf: make([]byte, readSize), roundStart: cfg.Room.Said()}
}

// WakeRoom notes that the log has grown.
func (l *loop) WakeRoom() {
	if !l.roomGrew.Load() && !l.roomGrew.Swap(true) {
		l.bell.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (l *loop) Wake(s *core.Session) { l.note(s.Tag().(*conn)) }

func (l *loop) note(c *conn) {
	if c.inWakes.Load() || c.inWakes.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.wakesClosed {
		l.wakes = append(l.wakes, c)
	}
	l.mu.Unlock()
	l.bell.ring()
}

// opened has a new connection join the room.
func (l *loop) opened(ec lib.Conn) (_ []byte, opts lib.Options, _ lib.Action) {
	l.commit()
	opts.ReuseInputBuffer = true
	if !l.haveLayout {
		layout, err := layoutOf(ec)
		if err != nil {
			return nil, opts, l.fail(err)
		}
		l.layout, l.haveLayout = layout, true
	}
	peer := addrPort(ec.RemoteAddr())
	if peer == l.bellPeer {
		if err := l.attach(ec); err != nil {
			return nil, opts, l.fail(err)
		}
		return nil, opts, lib.None
	}
	if l.acceptor != nil {
		l.acceptor.accepted()
	}
	if l.stopping.Load() {
		return nil, opts, lib.Close
	}
	c, err := l.adopt(ec)
	if err != nil {
		l.cfg.Counters.NoDescriptors.Add(1)
		l.logLimit.Warn(l.cfg.Log, "a connection is turned away", "backend", name, "err", err)
		return nil, opts, lib.Close
	}
	l.cfg.Counters.Accepts.Add(1)
	ec.SetContext(c)
	c.index = len(l.live)
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	if _, closing := c.session.Closing(); closing {
		l.note(c) // nobody wakes us for one that is turned away
	}
	return nil, opts, lib.None
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// attach gives the bell its connection, and takes over accepting.
func (l *loop) attach(ec lib.Conn) (err error) {
	epoll := l.layout.view(ec).epoll
	if l.acceptor, err = newAcceptor(l.cfg, l.addr, epoll); err != nil {
		return err
	}
	ec.SetContext(&l.bell)
	if err := l.bell.attach(ec, epoll); err != nil {
		return err
	}
	l.bell.ring() // other connections may have come before this one
	l.ready <- nil
	return nil
}

// fail ends the loop.
func (l *loop) fail(err error) lib.Action {
	l.failed = err
	select {
	case l.ready <- err:
	default: // ready was told before
	}
	return lib.Shutdown
}

// adopt makes a conn for a connection of evio's.
func (l *loop) adopt(ec lib.Conn) (*conn, error) {
	c := &conn{loop: l, evio: ec, view: l.layout.view(ec)}
	unix.CloseOnExec(c.view.fd)
	fd, err := unix.FcntlInt(uintptr(c.view.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c.fd = fd
	if err := tcp.Configure(fd, l.cfg.SendBuffer); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return c, nil
}

// commit calls Wrote for the output that was given to evio last. It is called in the next
// callback, because evio copies the output when a callback has returned: until then the core
// must keep the octets.
func (l *loop) commit() {
	if l.given != nil {
		l.given.session.Wrote(l.givenSize)
		l.given = nil
	}
}

// data receives what a client has sent, or returns what is to be sent to it.
func (l *loop) data(ec lib.Conn, in []byte) ([]byte, lib.Action) {
	l.commit()
	c, ok := ec.Context().(*conn)
	switch {
	case !ok:
		return nil, l.turn()
	case in == nil:
		c.dataRequested = false
		return c.nextOutput(), c.action()
	}
	c.receive(in)
	return nil, c.action()
}

// action is what evio has to do with a connection.
func (c *conn) action() lib.Action {
	if c.closeRequested {
		return lib.Close
	}
	return lib.None
}

var errBell = errors.New("the connection that wakes the loop was closed from outside")

// closed is called when evio has closed a connection.
func (l *loop) closed(ec lib.Conn, err error) lib.Action {
	l.commit()
	switch c := ec.Context().(type) {
	case *conn:
		l.drop(c, err)
	case *bell:
		l.bell.detach()
		if !l.stopping.Load() {
			return l.fail(errBell)
		}
	}
	return lib.None
}
