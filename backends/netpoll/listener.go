package netpoll

import (
	"errors"
	"net"
	"sync"
	"time"

	lib "github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// maxArrivals is how many accepted connections may wait for the poller.
const maxArrivals = 16

// listener is given to the library as its listener. Its descriptor is an eventfd: after
// ring the poller calls Accept on its own goroutine, which runs a turn and returns accepted
// connections.
type listener struct {
	loop     *loop
	arrivals chan arrival  // a few; the others wait in the kernel
	called   chan struct{} // closed after the first call of Accept
	once     sync.Once

	mu sync.Mutex
	fd int // -1 once closed
}

var _ lib.Listener = (*listener)(nil)

func newListener(lp *loop) (*listener, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &listener{loop: lp, arrivals: make(chan arrival, maxArrivals), called: make(chan struct{}), fd: fd}, nil
}

var one = [8]byte{1}

// ring makes the poller call Accept. It may be called from any goroutine. It is false after
// Close.
func (l *listener) ring() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return false
	}
	_, _ = unix.Write(l.fd, one[:]) // fails only if the counter is full, and then Accept is called anyway
	return true
}

// clear resets the eventfd.
func (l *listener) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		var count [8]byte
		_, _ = unix.Read(l.fd, count[:])
	}
}

// Accept runs a turn, and returns a connection to the library if one waits.
func (l *listener) Accept() (net.Conn, error) {
	l.once.Do(func() { close(l.called) })
	l.clear()
	l.loop.adapter.Turn()
	select {
	case a := <-l.arrivals:
		if len(l.arrivals) > 0 {
			l.ring()
		}
		return incoming{arrival: a}, nil
	default:
		return nil, nil // as the library's own listener does if there is no connection
	}
}

// Close is called by the library when its event loop shuts down.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return nil
	}
	err := unix.Close(l.fd)
	l.fd = -1
	return err
}

// Addr is where the acceptor is bound.
func (l *listener) Addr() net.Addr { return address{l.loop.accept.Addr()} }

// Fd is what the poller watches. The library asks once.
func (l *listener) Fd() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fd
}

// incoming is an accepted connection. The library uses its descriptor and its addresses,
// and nothing else.
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
