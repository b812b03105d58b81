package nbio

import (
	"fmt"
	"net"
	"sync"

	lib "github.com/lesismal/nbio"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/loopadapter"
	"chatbench/internal/loglimit"
)

const (
	readSize = 16 << 10 // octets read of a client in a turn
	// maxArrivals is how many accepted connections may wait for the poller, and how many
	// it takes over in a turn.
	maxArrivals = 64
)

// loop is one nbio engine, and the adapter that runs on it.
type loop struct {
	cfg      backends.Config
	adapter  *loopadapter.Adapter
	accept   acceptor.Conns
	engine   *lib.Engine
	bell     *bell
	first    sync.Once
	turns    chan struct{} // closed after the poller's first turn
	logLimit loglimit.Limit

	arrivals chan *net.TCPConn

	buf       []byte // used by the poller's goroutine to read
	brokenBuf []byte // the same within Send, where buf may be in use
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, name)
	if err != nil {
		return nil, err
	}
	l := &loop{
		cfg: cfg, accept: accept, turns: make(chan struct{}),
		arrivals: make(chan *net.TCPConn, maxArrivals),
		buf:      make([]byte, readSize), brokenBuf: make([]byte, readSize),
	}
	if err := l.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("nbio: %w", err)
	}
	accept.Run(l.take)
	return l.adapter.Serve(accept, l.close), nil
}

// open starts the engine. It returns after the poller's first turn, because an engine that
// is stopped before its poller has begun never ends.
func (l *loop) open() error {
	setLog(l.cfg.Log)
	b, conn, err := newBell()
	if err != nil {
		return err
	}
	l.bell = b
	l.adapter = loopadapter.New(l.cfg, loopadapter.Library{Ring: b.ring})
	// What needs descriptors is done before the engine starts: if it failed afterwards,
	// the engine would have to be stopped before its poller has begun.
	nc, err := lib.NBConn(conn) // which duplicates and closes it
	if err != nil {
		conn.Close()
		b.close()
		return err
	}
	l.engine = lib.NewEngine(lib.Config{Name: name, NPoller: 1, ReadBufferSize: 1})
	l.engine.OnRead(l.onRead)
	l.engine.OnClose(onClose)
	l.engine.OnWrittenSize(onWritten)
	if err := l.engine.Start(); err != nil {
		nc.Close()
		b.close()
		return err
	}
	if _, err := l.engine.AddConn(nc); err != nil {
		l.close()
		return err
	}
	b.ring()
	<-l.turns
	return nil
}

// close ends the engine.
func (l *loop) close() {
	l.engine.Stop()
	l.bell.close()
}

// take accepts a connection and leaves it for the poller.
func (l *loop) take() error {
	c, err := l.accept.Conn()
	if err != nil {
		return err
	}
	l.arrivals <- c // before the poller is rung, so that it finds the connection
	l.adapter.ExpectJoin()
	return nil
}

// onRead is called for every readable connection. The bell's has no conn.
func (l *loop) onRead(lc *lib.Conn) {
	if c, ok := lc.Session().(*conn); ok {
		c.read(l.buf)
		return
	}
	l.first.Do(func() { close(l.turns) })
	l.bell.clear(lc)
	l.adopt()
	l.adapter.Turn()
}

// adopt takes over the accepted connections. It runs before the turn closes connections,
// so that a new connection never has a descriptor for which the poller still has an old
// event.
func (l *loop) adopt() {
	for range maxArrivals {
		select {
		case c := <-l.arrivals:
			l.add(c)
		default:
			return
		}
	}
	l.bell.ring() // there may be more
}

func (l *loop) add(tcp *net.TCPConn) {
	peer := tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	lc, err := lib.NBConn(tcp) // which duplicates and closes it
	if err != nil {
		tcp.Close()
		l.miss(err)
		return
	}
	c := &conn{loop: l, lib: lc, fd: descriptor(lc)}
	lc.SetSession(c)
	if _, err := l.engine.AddConn(lc); err != nil {
		l.miss(err)
		return
	}
	c.client = l.adapter.Join(peer, c)
	l.adapter.JoinDone()
}

func descriptor(lc *lib.Conn) (number int) {
	raw, _ := lc.SyscallConn() // neither this nor Control can fail
	_ = raw.Control(func(fd uintptr) { number = int(fd) })
	return number
}

// miss gives up a connection that the library does not take.
func (l *loop) miss(err error) {
	l.cfg.Counters.NoDescriptors.Add(1)
	l.logLimit.Warn(l.cfg.Log, "a connection is turned away", "backend", name, "err", err)
	l.adapter.JoinDone()
}
