package nbio

import (
	"fmt"
	"net"
	"sync"

	lib "github.com/lesismal/nbio"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/guest"
	"chatbench/internal/loglimit"
)

const (
	readSize = 16 << 10 // of a client before others have their turn
	// waitingRoom is how many accepted connections wait for the poller at
	// most, and how many it takes over in a turn: who is in comes first.
	waitingRoom = 64
)

// host is one nbio engine with a guest on it.
type host struct {
	cfg    backends.Config
	guest  *guest.Guest
	accept acceptor.Conns
	engine *lib.Engine
	bell   *bell
	first  sync.Once
	turns  chan struct{} // closed when the poller has been at work
	lines  loglimit.Limit

	arrivals chan *net.TCPConn

	buf, last []byte // the poller's: what it reads into, and what Send does
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, name)
	if err != nil {
		return nil, err
	}
	h := &host{
		cfg: cfg, accept: accept, turns: make(chan struct{}),
		arrivals: make(chan *net.TCPConn, waitingRoom),
		buf:      make([]byte, readSize), last: make([]byte, readSize),
	}
	if err := h.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("nbio: %w", err)
	}
	accept.Run(h.take)
	return h.guest.Serve(accept, h.close), nil
}

// open starts the engine. It returns when the poller has been at work once,
// for one that is stopped before it began would never end.
func (h *host) open() error {
	setLog(h.cfg.Log)
	b, conn, err := newBell()
	if err != nil {
		return err
	}
	h.bell = b
	h.guest = guest.New(h.cfg, guest.Library{Ring: b.ring})
	// What takes descriptors comes before the engine: one that is stopped before
	// its poller is at work never ends.
	nc, err := lib.NBConn(conn) // which duplicates and closes it
	if err != nil {
		conn.Close()
		b.close()
		return err
	}
	h.engine = lib.NewEngine(lib.Config{Name: name, NPoller: 1, ReadBufferSize: 1})
	h.engine.OnRead(h.onRead)
	h.engine.OnClose(onClose)
	h.engine.OnWrittenSize(onWritten)
	if err := h.engine.Start(); err != nil {
		nc.Close()
		b.close()
		return err
	}
	if _, err := h.engine.AddConn(nc); err != nil {
		h.close()
		return err
	}
	b.ring()
	<-h.turns
	return nil
}

// close ends the engine.
func (h *host) close() {
	h.engine.Stop()
	h.bell.close()
}

// take accepts a connection and leaves it for the poller.
func (h *host) take() error {
	c, err := h.accept.Conn()
	if err != nil {
		return err
	}
	h.arrivals <- c // before the poller is told, so that it finds it
	h.guest.Coming()
	return nil
}

// onRead is called for every connection that can be read. The bell's is the
// one without a line.
func (h *host) onRead(c *lib.Conn) {
	if l, ok := c.Session().(*line); ok {
		l.read(h.buf)
		return
	}
	h.first.Do(func() { close(h.turns) })
	h.bell.clear(c)
	h.adopt()
	h.guest.Turn()
}

// adopt takes over what was accepted. It is done before a turn closes
// anything: the descriptors of these connections are then not ones for which
// the poller has an old event in hand.
func (h *host) adopt() {
	for range waitingRoom {
		select {
		case c := <-h.arrivals:
			h.add(c)
		default:
			return
		}
	}
	h.bell.ring() // there may be more
}

func (h *host) add(tcp *net.TCPConn) {
	peer := tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	conn, err := lib.NBConn(tcp) // which duplicates and closes it
	if err != nil {
		tcp.Close()
		h.miss(err)
		return
	}
	l := &line{host: h, conn: conn, fd: descriptor(conn)}
	conn.SetSession(l)
	if _, err := h.engine.AddConn(conn); err != nil {
		h.miss(err)
		return
	}
	l.client = h.guest.Join(peer, l)
}

func descriptor(conn *lib.Conn) (number int) {
	raw, _ := conn.SyscallConn() // neither it nor Control ever fails
	_ = raw.Control(func(fd uintptr) { number = int(fd) })
	return number
}

// miss is about a connection that the library does not take.
func (h *host) miss(err error) {
	h.cfg.Counters.NoDescriptors.Add(1)
	h.lines.Warn(h.cfg.Log, "a connection is turned away", "backend", name, "err", err)
	h.guest.Missed()
}
