// Package simple is a transport that knows nothing of chatbench but its contract: a
// goroutine reads each client, and one goroutine writes to all of them. Where the
// kernel takes no more, a goroutine of the client's own waits.
//
// It does not stop reading a client that sends too much: the room ends that.
package simple

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/core"
)

// Backend is the transport's line in the table.
var Backend = backends.Backend{
	Name:         "outside",
	Model:        "a goroutine reads each client, one writes to all",
	Threads:      "GOMAXPROCS",
	Processes:    "1",
	Limits:       "reads on when a client sends too much",
	FDsPerClient: 1,
	Start:        start,
}

// server is the transport at work, and its own core.Waker.
type server struct {
	cfg      backends.Config
	listener *net.TCPListener
	bell     chan struct{}  // there is output
	tasks    sync.WaitGroup // all goroutines but those of Shutdown and run
	stop     sync.Once
	quit     chan struct{}
	done     chan struct{}
	flushed  atomic.Uint64 // Room.Said when clients were last written to

	mu    sync.Mutex
	conns map[*conn]bool
	cut   error
}

func start(cfg backends.Config) (backends.Server, error) {
	listener, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	s := &server{
		cfg: cfg, listener: listener, conns: make(map[*conn]bool),
		bell: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	s.tasks.Go(s.accept)
	go s.run()
	return s, nil
}

func (s *server) accept() {
	for {
		nc, err := s.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.cfg.Counters.AcceptErrors.Add(1)
			time.Sleep(50 * time.Millisecond) // out of descriptors, for one
			continue
		}
		s.cfg.Counters.Accepts.Add(1)
		c := &conn{server: s, net: nc}
		c.raw, _ = nc.SyscallConn() // fails for no connection that was accepted
		c.session = s.cfg.Room.Join(unmapped(nc.RemoteAddr()), s, c)
		s.mu.Lock()
		s.conns[c] = true
		if s.cut != nil {
			nc.Close()
		}
		s.mu.Unlock()
		s.tasks.Go(c.serve)
	}
}

func unmapped(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// WakeRoom and Wake note that there is output.
func (s *server) WakeRoom() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func (s *server) Wake(*core.Session) { s.WakeRoom() }

// run writes whenever there is output.
func (s *server) run() {
	defer close(s.done)
	for {
		select {
		case <-s.bell:
			s.flush()
		case <-s.quit:
			return
		}
	}
}

// flush writes to every client what its kernel takes. It waits for none.
func (s *server) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed.Store(s.cfg.Room.Said())
	for c := range s.conns {
		c.push()
	}
}

// pace has a reader write to all before it feeds on, when much was said.
func (s *server) pace() {
	if s.cfg.Room.Said() > s.flushed.Load()+backends.FlushAfter {
		s.flush()
	}
}

func (s *server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *server) isCut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut != nil
}

func (s *server) Addr() netip.AddrPort  { return unmapped(s.listener.Addr()) }
func (s *server) Done() <-chan struct{} { return s.done }
func (s *server) Err() error            { return nil }

// Shutdown waits for the connections to end, and cuts those that are left when
// ctx ends.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		s.listener.Close()
		go func() {
			s.tasks.Wait()
			close(s.quit)
		}()
	})
	select {
	case <-s.done:
	case <-ctx.Done():
		s.mu.Lock()
		for c := range s.conns {
			s.cut = fmt.Errorf("simple: connections were cut: %w", ctx.Err())
			c.net.Close()
		}
		s.mu.Unlock()
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}
