package goroutine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
)

// Backend is this transport's line in the table.
var Backend = backends.Backend{
	Name:         "goroutine",
	Model:        "a goroutine reads each client, another writes while there is output; Go's netpoller waits",
	Threads:      "GOMAXPROCS",
	Processes:    "1",
	FDsPerClient: 1,
	Start:        start,
}

// server is the transport at work.
type server struct {
	cfg      backends.Config
	listener *net.TCPListener
	accept   syscall.RawConn // of the listener, for the reserve
	reserve  *socket.Reserve // the accepting goroutine's
	rounds   *rounds

	mu      sync.Mutex
	conns   []*conn
	cut     error // why connections are cut; nil while they are not
	clients sync.WaitGroup

	stopOnce  sync.Once
	stopping  chan struct{} // Shutdown was called
	accepting chan struct{} // closed when nobody accepts any more
	done      chan struct{} // nothing is left
}

func start(cfg backends.Config) (backends.Server, error) {
	listener, err := socket.Listen(cfg)
	if err != nil {
		return nil, err
	}
	accept, err := listener.SyscallConn()
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("goroutine: %w", err)
	}
	reserve, err := socket.NewReserve()
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("goroutine: %w", err)
	}
	s := &server{
		cfg:       cfg,
		listener:  listener,
		accept:    accept,
		reserve:   reserve,
		stopping:  make(chan struct{}),
		accepting: make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.rounds = newRounds(cfg.Room, s.wakeAll)
	go s.rounds.run()
	go s.acceptAll()
	return s, nil
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return socket.Bound(s.listener) }

// Done is closed when nothing is left.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is nil: this transport does not end by itself.
func (s *server) Err() error { return nil }

// acceptAll takes connections until the listener is closed.
func (s *server) acceptAll() {
	defer close(s.accepting)
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := s.listener.AcceptTCP()
		if err == nil {
			pause = shortest
			s.cfg.Counters.Accepts.Add(1)
			s.serve(nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.cfg.Counters.AcceptErrors.Add(1)
		if socket.Exhausted(err) && s.turnAway() {
			continue
		}
		if pause == shortest {
			s.cfg.Log.Warn("cannot accept connections", "backend", "goroutine", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-s.stopping:
		}
		pause = min(2*pause, longest)
	}
}

// turnAway closes the connection at the head of the queue, for which there is
// no descriptor. It is false if that could not be done.
func (s *server) turnAway() (gone bool) {
	err := s.accept.Control(func(fd uintptr) { gone = s.reserve.TurnAway(int(fd)) })
	if err != nil || !gone {
		return false
	}
	s.cfg.Counters.NoDescriptors.Add(1)
	return true
}

// serve starts what a new connection needs.
func (s *server) serve(nc *net.TCPConn) {
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
	s.stopOnce.Do(func() {
		close(s.stopping)
		s.listener.Close()
		go s.wind()
	})
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
	<-s.accepting
	s.clients.Wait()
	s.rounds.stop()
	s.reserve.Close()
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
