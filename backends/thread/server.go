package thread

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/lifecycle"
	"chatbench/backends/internal/tasks"
	"chatbench/internal/processors"
)

// maxTurnedAway is how many connections there may be beyond MaxClients: those that were told
// that the room is full, until they are closed.
const maxTurnedAway = 64

// minProcessors is the least GOMAXPROCS. A thread that returns from the kernel needs one of
// the runtime's processors, and a blocked thread keeps its own until the runtime's monitor
// takes it away, 20 µs to 10 ms later. With as many processors as CPUs all threads would
// wait for that.
const minProcessors = 16

// server is the running transport.
type server struct {
	*lifecycle.Server
	cfg    backends.Config
	accept *acceptor.Acceptor
	rounds *rounds
	places chan struct{} // one for each connection there may be

	pool  *threadPool
	tasks tasks.Budget // used by the acceptor's goroutine

	mu      sync.Mutex
	conns   []*conn
	cutting bool
	clients sync.WaitGroup

	once     sync.Once // closes stopping
	stopping chan struct{}
}

func start(cfg backends.Config) (backends.Server, error) {
	if err := haveFutex(); err != nil {
		return nil, err
	}
	if err := checkThreads(cfg.MaxClients); err != nil {
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
		pool:     newThreadPool(),
		tasks:    tasks.Budget{Margin: spareThreads, Threads: true},
		places:   make(chan struct{}, cfg.MaxClients+maxTurnedAway),
		stopping: make(chan struct{}),
	}
	s.Server = lifecycle.New(accept.Addr(), s.stop)
	lower := processors.AtLeast(minProcessors)
	coordinating := make(chan struct{})
	go func() {
		defer close(coordinating)
		runtime.LockOSThread()
		s.rounds.run()
	}()
	accept.Run(s.take)
	go s.end(coordinating, lower)
	return s, nil
}

// take accepts a connection and starts its threads, if the limits allow it.
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
	if need := 2 - s.pool.idle(); need > 0 {
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
	c.startThreads()
	return nil
}

// block makes a socket blocking, with a timeout for sending.
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

// forget removes a connection that has ended from the list.
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

// stop tells the server to end when its connections have, or to cut them.
func (s *server) stop(cut bool) {
	s.once.Do(func() { close(s.stopping) })
	if cut {
		s.cutAll()
	}
}

// end ends the parts in the order of their dependencies, after stop was called.
func (s *server) end(coordinating <-chan struct{}, lower func()) {
	<-s.stopping
	s.accept.Close()
	s.clients.Wait()
	s.pool.end()
	s.rounds.stop()
	<-coordinating
	lower()
	s.Ended(nil)
}

// cutAll cuts the connections that are left, and those still to come.
func (s *server) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting = true
	for _, c := range s.conns {
		c.cutOff()
	}
}
