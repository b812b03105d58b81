// Package acceptor is a goroutine that accepts connections, for transports
// whose library would not do it as the contract asks: it goes on when
// descriptors run out, without spinning, and it can stop accepting while the
// connections that are there go on.
//
// It refuses to serve: each connection is handed to a function of the
// transport's, on the acceptor's own goroutine. That function alone may call
// FD; the other methods are for any goroutine.
package acceptor

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
	"chatbench/internal/loglimit"
)

// How long accepting rests when it is of no use for now.
const (
	shortestRest = 5 * time.Millisecond
	longestRest  = time.Second
)

// ErrTurnedAway is wrapped by take's error when it has accepted a connection and
// closed it, for lack of what the connection needs. Accepting goes on at once.
var ErrTurnedAway = errors.New("a connection is turned away")

// Acceptor accepts the connections of one listener.
type Acceptor struct {
	name    string
	cfg     backends.Config
	addr    netip.AddrPort
	closer  io.Closer
	raw     syscall.RawConn
	reserve *socket.Reserve // the goroutine's
	lines   loglimit.Limit

	stop     sync.Once
	stopping chan struct{}
	stopped  chan struct{}
}

// Listen binds Config.Listen for a transport that takes descriptors, with FD.
// Nothing is accepted before Run.
func Listen(cfg backends.Config, name string) (*Acceptor, error) {
	fd, addr, err := socket.ListenFD(cfg, false)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener") // Go's netpoller waits for it, as it is non-blocking
	return newAcceptor(cfg, name, addr, file)
}

// newAcceptor completes an Acceptor of a listening socket.
func newAcceptor(cfg backends.Config, name string, addr netip.AddrPort, s listening) (*Acceptor, error) {
	a := &Acceptor{
		name: name, cfg: cfg, addr: addr, closer: s,
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	var err error
	if a.raw, err = s.SyscallConn(); err == nil {
		a.reserve, err = socket.NewReserve()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// listening is a listening socket, as package os or net has it.
type listening interface {
	io.Closer
	SyscallConn() (syscall.RawConn, error)
}

// Addr is where it is bound.
func (a *Acceptor) Addr() netip.AddrPort { return a.addr }

// Run starts to accept. take accepts one connection and hands it on. Its error is
// the one that accepting gave, or wraps ErrTurnedAway.
func (a *Acceptor) Run(take func() error) { go a.run(take) }

// FD waits for the next connection and gives its descriptor, which is
// non-blocking and the caller's. Only take calls it.
func (a *Acceptor) FD() (fd int, peer netip.AddrPort, err error) {
	closed := a.raw.Read(func(listener uintptr) bool {
		fd, peer, err = socket.Accept(int(listener))
		return err != unix.EAGAIN
	})
	if closed != nil {
		return -1, peer, closed
	}
	return fd, peer, err
}

// Close accepts no more and returns when take is not running and will not be
// called again. The port is free then. It may be called more than once, but
// only after Run.
func (a *Acceptor) Close() {
	a.stop.Do(func() {
		close(a.stopping)
		a.closer.Close()
	})
	<-a.stopped
}

// Abandon is Close for an Acceptor that never ran.
func (a *Acceptor) Abandon() {
	a.closer.Close()
	a.reserve.Close()
}

func (a *Acceptor) run(take func() error) {
	defer close(a.stopped)
	defer a.reserve.Close()
	rest := shortestRest
	for {
		err := take()
		if err == nil {
			rest = shortestRest
			a.cfg.Counters.Accepts.Add(1)
			continue
		}
		select {
		case <-a.stopping: // which is why it failed
			return
		default:
		}
		if errors.Is(err, ErrTurnedAway) {
			a.cfg.Counters.NoDescriptors.Add(1)
			a.lines.Warn(a.cfg.Log, "a connection is turned away", "backend", a.name, "err", err)
			continue
		}
		a.cfg.Counters.AcceptErrors.Add(1)
		if socket.Exhausted(err) && a.turnAway() {
			continue
		}
		a.lines.Warn(a.cfg.Log, "cannot accept connections", "backend", a.name, "err", err)
		select {
		case <-time.After(rest):
		case <-a.stopping:
		}
		rest = min(2*rest, longestRest)
	}
}

// turnAway closes the connection at the head of the queue, for which there is
// no descriptor. It is false if that could not be done.
func (a *Acceptor) turnAway() (gone bool) {
	err := a.raw.Control(func(fd uintptr) { gone = a.reserve.TurnAway(int(fd)) })
	if err != nil || !gone {
		return false
	}
	a.cfg.Counters.NoDescriptors.Add(1)
	return true
}
