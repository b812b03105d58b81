package goroutine

import (
	"net"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/lifecycle"
)

// Backend describes the transport.
var Backend = backends.Backend{
	Name:         "goroutine",
	Model:        "a goroutine reads each client, another writes while there is output; Go's netpoller waits",
	Threads:      "GOMAXPROCS",
	Processes:    "1",
	Coalesces:    true,
	FDsPerClient: 1,
	Start:        start,
}

// server is the running transport.
type server struct {
	*lifecycle.Server
	cfg    backends.Config
	accept acceptor.Conns
	rounds *rounds

	mu      sync.Mutex
	conns   []*conn
	cutting bool
	clients sync.WaitGroup

	once sync.Once // begins to end
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, "goroutine")
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, accept: accept}
	s.Server = lifecycle.New(accept.Addr(), s.stop)
	s.rounds = newRounds(cfg.Room, s.wakeAll)
	if s.rounds.coalescing, err = newCoalescing(cfg.Coalesce, s.rounds); err != nil {
		accept.Abandon()
		return nil, err
	}
	go s.rounds.run()
	accept.Run(s.take)
	return s, nil
}

// take accepts a connection and starts its reader and writer.
func (s *server) take() error {
	nc, err := s.accept.Conn()
	if err != nil {
		return err
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		panic("goroutine: an accepted connection has no descriptor: " + err.Error())
	}
	c := newConn(s, nc, raw)
	s.mu.Lock()
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	cutting := s.cutting
	s.mu.Unlock()
	s.clients.Add(1)
	c.begin(s.cfg.Room.Join(nc.RemoteAddr().(*net.TCPAddr).AddrPort(), s.rounds, c))
	if cutting {
		c.cutOff()
	}
	return nil
}

// forget removes a connection that has ended from the list.
func (s *server) forget(c *conn) {
	s.mu.Lock()
	last := len(s.conns) - 1
	moved := s.conns[last]
	s.conns[c.index], moved.index = moved, c.index
	s.conns[last] = nil
	s.conns = s.conns[:last]
	s.mu.Unlock()
	s.clients.Done()
}

// wakeAll gives every writer its turn.
func (s *server) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.wake()
	}
}

// stop tells the server to end when its connections have, or to cut them.
func (s *server) stop(cut bool) {
	s.once.Do(func() { go s.end() })
	if cut {
		s.cutAll()
	}
}

// end ends the parts in the order of their dependencies.
func (s *server) end() {
	s.accept.Close()
	s.clients.Wait()
	s.rounds.stop()
	s.Ended(nil)
}

// cutAll ends the connections that are left, and those still to come.
func (s *server) cutAll() {
	s.mu.Lock()
	conns := append([]*conn(nil), s.conns...)
	s.cutting = true
	s.mu.Unlock()
	for _, c := range conns {
		c.cutOff()
	}
}
