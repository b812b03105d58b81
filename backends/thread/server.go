package thread

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/tasks"
	"chatbench/internal/processors"
)

// turnedAway is how many clients there may be beside MaxClients: those whom
// the room has told that it is full, until they have gone.
const turnedAway = 64

// leastProcessors is how many threads the runtime has to let run Go code at a
// time. A thread that comes back from the kernel needs one of its processors,
// and those that are blocked there keep theirs until the runtime's monitor takes
// it away, 20 µs to 10 ms later: with as many processors as CPUs everybody waits
// for that.
const leastProcessors = 16

// server is the transport at work.
type server struct {
	cfg    backends.Config
	accept *acceptor.Acceptor
	rounds *rounds
	places chan struct{} // one for each connection there may be

	crew  *crew
	tasks tasks.Budget // the acceptor's

	mu      sync.Mutex
	conns   []*conn
	cutting bool
	clients sync.WaitGroup

	stop     sync.Once
	stopping chan struct{}
	done     chan struct{}
}

func start(cfg backends.Config) (backends.Server, error) {
	if err := haveFutex(); err != nil {
		return nil, err
	}
	if err := fits(cfg.MaxClients); err != nil {
		return nil, err
	}
	accept, err := acceptor.Listen(cfg, name)
	if err != nil {
		return nil, err
	}
	s := &server{
		cfg:      cfg,
		accept:   accept,
		rounds:   &rounds{room: cfg.Room},
		crew:     newCrew(),
		tasks:    tasks.Budget{Margin: spareThreads},
		places:   make(chan struct{}, cfg.MaxClients+turnedAway),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
	}
	lower := processors.AtLeast(leastProcessors)
	conducting := make(chan struct{})
	go func() {
		defer close(conducting)
		runtime.LockOSThread()
		s.rounds.conduct()
	}()
	accept.Run(s.take)
	go s.wind(conducting, lower)
	return s, nil
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return s.accept.Addr() }

// Done is closed when nothing is left.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is nil: this transport does not end by itself.
func (s *server) Err() error { return nil }

// take accepts a connection and gives it its threads, if there are any for it.
func (s *server) take() error {
	fd, peer, err := s.accept.FD()
	if err != nil {
		return err
	}
	select {
	case s.places <- struct{}{}:
	case <-s.stopping:
		_ = unix.Close(fd)
		return context.Canceled
	}
	if need := 2 - s.crew.idle(); need > 0 {
		err = s.tasks.Take(need, 0)
	}
	if err == nil {
		err = block(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		<-s.places
		return fmt.Errorf("%w: %w", acceptor.ErrTurnedAway, err)
	}
	c := &conn{server: s, fd: fd}
	c.place.rounds = s.rounds
	s.mu.Lock()
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	c.session = s.cfg.Room.Join(peer, s.rounds, c)
	if s.cutting {
		c.cutOff()
	}
	s.mu.Unlock()
	s.clients.Add(1)
	c.begin()
	return nil
}

// block makes a socket one that blocks, though never for ever when it sends.
func block(fd int) error {
	if err := unix.SetNonblock(fd, false); err != nil {
		return fmt.Errorf("make the socket block: %w", err)
	}
	limit := unix.NsecToTimeval(int64(sendTime))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return fmt.Errorf("set SO_SNDTIMEO: %w", err)
	}
	return nil
}

// forget takes a connection that has ended off the list.
func (s *server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.conns) - 1
	moved := s.conns[last]
	s.conns[c.index], moved.index = moved, c.index
	s.conns[last] = nil
	s.conns = s.conns[:last]
	<-s.places
	s.clients.Done()
}

// Shutdown stops accepting and waits for the connections to end; those which
// are left when ctx ends are cut.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { close(s.stopping) })
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-s.done: // before ctx ended, or at the same time
		return nil
	default:
		s.cutAll()
		<-s.done
		return context.Cause(ctx)
	}
}

// wind ends the parts in the order in which they need one another.
func (s *server) wind(conducting <-chan struct{}, lower func()) {
	<-s.stopping
	s.accept.Close()
	s.clients.Wait()
	s.crew.end()
	s.rounds.stop()
	<-conducting
	lower()
	close(s.done)
}

// cutAll ends the connections that are left, and those still to come.
func (s *server) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting = true
	for _, c := range s.conns {
		c.cutOff()
	}
}
