package goroutine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
)

// Backend is this transport's line in the table.
var Backend = backends.Backend{
	Name:         "goroutine",
	Model:        "a goroutine reads each client, another writes while there is output; Go's netpoller waits",
	Threads:      "GOMAXPROCS",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Start:        start,
}

// server is the transport at work.
type server struct {
	cfg    backends.Config
	accept acceptor.Conns
	rounds *rounds

	mu      sync.Mutex
	conns   []*conn
	cut     error // why connections are cut; nil while they are not
	clients sync.WaitGroup

	stop sync.Once
	done chan struct{} // nothing is left
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, "goroutine")
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, accept: accept, done: make(chan struct{})}
	s.rounds = newRounds(cfg.Room, s.wakeAll)
	if s.rounds.waits, err = newWaits(cfg.Coalesce, s.rounds); err != nil {
		accept.Abandon()
		return nil, err
	}
	go s.rounds.run()
	accept.Run(s.take)
	return s, nil
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return s.accept.Addr() }

// Done is closed when nothing is left.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is nil: this transport does not end by itself.
func (s *server) Err() error { return nil }

// take accepts a connection and starts what it needs.
func (s *server) take() error {
	nc, err := s.accept.Conn()
	if err != nil {
		return err
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		panic("goroutine: an accepted connection that is none: " + err.Error())
	}
	c := newConn(s, nc, raw)
	s.mu.Lock()
	c.place = len(s.conns)
	s.conns = append(s.conns, c)
	cut := s.cut != nil
	s.mu.Unlock()
	s.clients.Add(1)
	c.begin(s.cfg.Room.Join(nc.RemoteAddr().(*net.TCPAddr).AddrPort(), s.rounds, c))
	if cut {
		c.cutOff()
	}
	return nil
}

// forget takes a connection that has ended off the list.
func (s *server) forget(c *conn) {
	s.mu.Lock()
	last := len(s.conns) - 1
	moved := s.conns[last]
	s.conns[c.place], moved.place = moved, c.place
	s.conns[last] = nil
	s.conns = s.conns[:last]
	s.mu.Unlock()
	s.clients.Done()
}

// wakeAll gives every connection its turn to write.
func (s *server) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.wake()
	}
}

// Shutdown stops accepting and waits for the connections to end; those which
// are left when ctx ends are cut.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { go s.wind() })
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cutAll(ctx.Err())
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// wind waits for everything to end.
func (s *server) wind() {
	s.accept.Close()
	s.clients.Wait()
	s.rounds.stop()
	close(s.done)
}

// cutAll ends the connections that are left, and those still to come.
func (s *server) cutAll(why error) {
	s.mu.Lock()
	conns := append([]*conn(nil), s.conns...)
	if s.cut == nil && len(conns) > 0 {
		s.cut = fmt.Errorf("goroutine: %d connections were cut: %w", len(conns), why)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.cutOff()
	}
}
