package netpoll

import (
	"errors"
	"net"
	"sync"
	"time"

	lib "github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// waitingRoom is how many accepted connections wait for the poller at most.
const waitingRoom = 16

// gate is what the library takes for its listener. Its descriptor is an
// eventfd: when somebody rings, the poller calls Accept on its own goroutine,
// which is how turns come to run there, and how connections come in.
type gate struct {
	host     *host
	arrivals chan arrival  // a few: the others wait in the kernel
	called   chan struct{} // closed when the poller has called for the first time
	once     sync.Once

	mu sync.Mutex
	fd int // -1 once closed
}

var _ lib.Listener = (*gate)(nil)

func newGate(h *host) (*gate, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &gate{host: h, arrivals: make(chan arrival, waitingRoom), called: make(chan struct{}), fd: fd}, nil
}

var one = [8]byte{1}

// ring has the poller call Accept. Any goroutine.
func (g *gate) ring() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fd >= 0 {
		_, _ = unix.Write(g.fd, one[:]) // fails only if the counter is full, and then it rings anyway
	}
}

// clear takes the ring back.
func (g *gate) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fd >= 0 {
		var count [8]byte
		_, _ = unix.Read(g.fd, count[:])
	}
}

// Accept runs a turn and gives the library a connection, if one waits.
func (g *gate) Accept() (net.Conn, error) {
	g.once.Do(func() { close(g.called) })
	g.clear()
	g.host.guest.Turn()
	select {
	case a := <-g.arrivals:
		if len(g.arrivals) > 0 {
			g.ring()
		}
		return incoming{arrival: a}, nil
	default:
		return nil, nil // as the library's own listener says that nobody is there
	}
}

// Close is called by the library when its event loop shuts down.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fd < 0 {
		return nil
	}
	err := unix.Close(g.fd)
	g.fd = -1
	return err
}

// Addr is where the acceptor is bound.
func (g *gate) Addr() net.Addr { return address{g.host.accept.Addr()} }

// Fd is what the poller watches. The library asks once.
func (g *gate) Fd() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fd
}

// incoming is an accepted connection as the library takes it over: it uses the
// descriptor and the addresses, and nothing else.
type incoming struct{ arrival }

var _ lib.Conn = incoming{}

var errTakenOver = errors.New("netpoll: the library reads and writes this connection itself")

func (c incoming) Fd() int                          { return c.fd }
func (c incoming) LocalAddr() net.Addr              { return nil }
func (c incoming) RemoteAddr() net.Addr             { return address{c.peer} }
func (c incoming) Read([]byte) (int, error)         { return 0, errTakenOver }
func (c incoming) Write([]byte) (int, error)        { return 0, errTakenOver }
func (c incoming) Close() error                     { return unix.Close(c.fd) }
func (c incoming) SetDeadline(time.Time) error      { return errTakenOver }
func (c incoming) SetReadDeadline(time.Time) error  { return errTakenOver }
func (c incoming) SetWriteDeadline(time.Time) error { return errTakenOver }
