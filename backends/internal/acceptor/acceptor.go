// Package acceptor accepts connections on a goroutine of its own, for transports whose
// library does not do it as the contract requires. It goes on when descriptors run out,
// without spinning, and can stop accepting while connections go on.
//
// It does not serve connections: it calls a function of the transport for each, on its own
// goroutine. Only that function may call FD and Conn; the other methods may be called from
// any goroutine.
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

// How long accepting pauses after an error.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// ErrTurnedAway is wrapped by the error of a take function that has closed the connection
// because something that it needs is missing. Accepting goes on at once.
var ErrTurnedAway = errors.New("a connection is turned away")

// Acceptor accepts the connections of one listener.
type Acceptor struct {
	name     string
	cfg      backends.Config
	addr     netip.AddrPort
	closer   io.Closer
	raw      syscall.RawConn
	reserve  *socket.Reserve // used only by the goroutine
	logLimit loglimit.Limit

	stop     sync.Once
	stopping chan struct{}
	stopped  chan struct{}
}

// Listen binds Config.Listen for a transport that takes descriptors, from FD. Nothing is
// accepted before Run.
func Listen(cfg backends.Config, name string) (*Acceptor, error) {
	fd, addr, err := socket.ListenFD(cfg, false)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener") // it is non-blocking, so Go's netpoller waits for it
	return newAcceptor(cfg, name, addr, file)
}

// newAcceptor makes an Acceptor of a listening socket.
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

// Run starts to accept. take accepts one connection, by FD or Conn, and passes it on. Its
// error is the one of accepting, or wraps ErrTurnedAway.
func (a *Acceptor) Run(take func() error) { go a.run(take) }

// FD waits for the next connection and returns its descriptor, which is non-blocking and
// belongs to the caller. Only take may call it.
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

// Close stops accepting. It returns when take is not running and will not be called again;
// the port is free then. It may be called more than once, but only after Run.
func (a *Acceptor) Close() {
	a.stop.Do(func() {
		close(a.stopping)
		a.closer.Close()
	})
	<-a.stopped
}

// Abandon closes an Acceptor for which Run was not called.
func (a *Acceptor) Abandon() {
	a.closer.Close()
	a.reserve.Close()
}

func (a *Acceptor) run(take func() error) {
	defer close(a.stopped)
	defer a.reserve.Close()
	pause := shortestPause
	for {
		err := take()
		if err == nil {
			pause = shortestPause
			a.cfg.Counters.Accepts.Add(1)
			continue
		}
		select {
		case <-a.stopping: // Close has caused the error
			return
		default:
		}
		if errors.Is(err, ErrTurnedAway) {
			a.cfg.Counters.NoDescriptors.Add(1)
			a.logLimit.Warn(a.cfg.Log, "a connection is turned away", "backend", a.name, "err", err)
			continue
		}
		a.cfg.Counters.AcceptErrors.Add(1)
		if socket.Exhausted(err) && a.turnAway() {
			continue
		}
		a.logLimit.Warn(a.cfg.Log, "cannot accept connections", "backend", a.name, "err", err)
		select {
		case <-time.After(pause):
		case <-a.stopping:
		}
		pause = min(2*pause, longestPause)
	}
}

// turnAway closes the first connection in the kernel's queue, for which there is no
// descriptor. It is false if it could not.
func (a *Acceptor) turnAway() (gone bool) {
	err := a.raw.Control(func(fd uintptr) { gone = a.reserve.TurnAway(int(fd)) })
	if err != nil || !gone {
		return false
	}
	a.cfg.Counters.NoDescriptors.Add(1)
	return true
}
