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

	// Noted by any goroutine.
	dirty      atomic.Bool // the log has grown
	stopping   atomic.Bool
	cutting    atomic.Pointer[error] // why connections are cut
	lines      loglimit.Limit
	mu         sync.Mutex
	mail       []*conn // sessions with output of their own, or that must close
	mailClosed bool    // the loop has ended: nobody reads the mail

	// Set before evio runs the loop.
	addr     netip.AddrPort // where it is bound
	bellPeer netip.AddrPort // the bell's other end

	// The loop's own.
	acceptor  *acceptor
	known     bool // shape is set
	shape     shape
	ready     chan error // told when the bell hangs, or why it does not
	failed    error      // why the loop has to end
	cut       error      // some connections were cut
	buf       []byte
	out       []byte // gathered for evio, which copies it
	given     *conn  // was handed so many octets of the log, and is not told yet
	givenSize int

	live      []*conn
	open      []*conn // something of these is under way
	stashed   []*conn // these have input that waits
	parting   int     // of them, those that are gone
	spareMail []*conn
	lingering linger.Queue[*conn]
	round     int       // connections the round waits for
	mark      uint64    // Room.Said when it began
	stalls    int       // connections that are stalled
	still     int       // turns since something moved
	endured   time.Time // when those that are stalled were last looked after
}

func newLoop(cfg backends.Config) *loop {
	return &loop{cfg: cfg, ready: make(chan error, 1), buf: make([]byte, readSize), mark: cfg.Room.Said()}
}

// WakeRoom notes that the log has grown.
func (l *loop) WakeRoom() {
	if !l.dirty.Load() && !l.dirty.Swap(true) {
		l.bell.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (l *loop) Wake(s *core.Session) { l.note(s.Tag().(*conn)) }

func (l *loop) note(c *conn) {
	if c.mailed.Load() || c.mailed.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.mailClosed {
		l.mail = append(l.mail, c)
	}
	l.mu.Unlock()
	l.bell.ring()
}

// opened has a new connection join the room.
func (l *loop) opened(ec lib.Conn) (_ []byte, opts lib.Options, _ lib.Action) {
	l.commit()
	opts.ReuseInputBuffer = true
	if !l.known {
		shape, err := shapeOf(ec)
		if err != nil {
			return nil, opts, l.fail(err)
		}
		l.shape, l.known = shape, true
	}
	peer := addrPort(ec.RemoteAddr())
	if peer == l.bellPeer {
		if err := l.hang(ec); err != nil {
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
		l.lines.Warn(l.cfg.Log, "a connection is turned away", "backend", name, "err", err)
		return nil, opts, lib.Close
	}
	l.cfg.Counters.Accepts.Add(1)
	ec.SetContext(c)
	c.place = len(l.live)
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

// hang makes a connection the bell's, and takes accepting into our own hands.
func (l *loop) hang(ec lib.Conn) (err error) {
	epoll := l.shape.view(ec).epoll
	if l.acceptor, err = newAcceptor(l.cfg, l.addr, epoll); err != nil {
		return err
	}
	ec.SetContext(&l.bell)
	if err := l.bell.hang(ec, epoll); err != nil {
		return err
	}
	l.bell.ring() // for others were quicker, perhaps
	l.ready <- nil
	return nil
}

// fail ends the loop.
func (l *loop) fail(err error) lib.Action {
	l.failed = err
	select {
	case l.ready <- err:
	default: // long since
	}
	return lib.Shutdown
}

// adopt makes a connection of one of evio's.
func (l *loop) adopt(ec lib.Conn) (*conn, error) {
	c := &conn{loop: l, evio: ec, view: l.shape.view(ec)}
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

// commit tells the session that was handed output last. Not before evio has
// copied it, which it does when the callback returns: until then the octets
// must stay what they are.
func (l *loop) commit() {
	if l.given != nil {
		l.given.session.Wrote(l.givenSize)
		l.given = nil
	}
}

// data takes what a client has sent, or gives what is to be sent to it.
func (l *loop) data(ec lib.Conn, in []byte) ([]byte, lib.Action) {
	l.commit()
	c, ok := ec.Context().(*conn)
	switch {
	case !ok:
		return nil, l.turn()
	case in == nil:
		c.called = false
		return c.hand(), c.action()
	}
	c.take(in)
	return nil, c.action()
}

// action is what evio is to do with a connection.
func (c *conn) action() lib.Action {
	if c.hung {
		return lib.Close
	}
	return lib.None
}

var errBell = errors.New("the connection that wakes the loop was cut from outside")

// closed lets go of a connection.
func (l *loop) closed(ec lib.Conn, err error) lib.Action {
	l.commit()
	switch c := ec.Context().(type) {
	case *conn:
		l.drop(c, err)
	case *bell:
		l.bell.takeDown()
		if !l.stopping.Load() {
			return l.fail(errBell)
		}
	}
	return lib.None
}
