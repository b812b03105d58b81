package gnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	lib "github.com/panjf2000/gnet/v2"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
)

// server is the transport at work.
type server struct {
	cfg      backends.Config
	addr     netip.AddrPort
	engine   *lib.Client
	loop     *loop
	listener *net.TCPListener
	accept   syscall.RawConn // of the listener, for the reserve
	reserve  *socket.Reserve // the accepting goroutine's

	stopOnce  sync.Once
	stopping  chan struct{} // Shutdown was called
	accepting chan struct{} // closed when nobody accepts any more
	done      chan struct{}
	cut       error // set before done is closed
}

func start(cfg backends.Config) (backends.Server, error) {
	listener, err := socket.Listen(cfg)
	if err != nil {
		return nil, err
	}
	s := &server{
		cfg:       cfg,
		addr:      socket.Bound(listener),
		loop:      newLoop(cfg),
		listener:  listener,
		stopping:  make(chan struct{}),
		accepting: make(chan struct{}),
		done:      make(chan struct{}),
	}
	if err := s.open(); err != nil {
		listener.Close()
		return nil, fmt.Errorf("gnet: %w", err)
	}
	go s.acceptAll()
	return s, nil
}

// open gets what is needed beside the listener.
func (s *server) open() (err error) {
	if s.accept, err = s.listener.SyscallConn(); err != nil {
		return err
	}
	if s.reserve, err = socket.NewReserve(); err != nil {
		return err
	}
	s.engine, err = lib.NewClient(s.loop,
		lib.WithNumEventLoop(1),
		lib.WithReadBufferCap(readSize),
		lib.WithLogger(logger{s.cfg.Log}))
	if err == nil {
		err = s.engine.Start()
	}
	if err != nil {
		s.reserve.Close()
	}
	return err
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return s.addr }

// Done is closed when nothing is left.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is nil: nothing that a client or a lack of descriptors does ends the
// engine, as it has no listener.
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
			s.enroll(nc)
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
			s.cfg.Log.Warn("cannot accept connections", "backend", name, "err", err)
		}
		select {
		case <-time.After(pause):
		case <-s.stopping:
		}
		pause = min(2*pause, longest)
	}
}

// enroll hands a connection to the engine, which takes a duplicate of its
// descriptor, and returns when OnOpen has.
func (s *server) enroll(nc *net.TCPConn) {
	_, err := s.engine.Enroll(nc)
	if err == nil {
		return
	}
	s.cfg.Counters.AcceptErrors.Add(1)
	if socket.Exhausted(err) {
		s.cfg.Counters.NoDescriptors.Add(1)
		return
	}
	s.cfg.Log.Warn("a connection is turned away", "backend", name, "err", err)
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
		s.loop.cutOff(fmt.Errorf("gnet: connections were cut: %w", ctx.Err()))
		<-s.done
	}
	return s.cut
}

// wind waits for everything to end. The acceptor goes first, for it waits on
// the loop for each connection it enrolls.
func (s *server) wind() {
	<-s.accepting
	s.loop.end()
	<-s.loop.empty
	if err := s.engine.Stop(); err != nil {
		s.cfg.Log.Error("gnet ended in disorder", "err", err)
	}
	s.reserve.Close()
	s.cut = s.loop.cut
	close(s.done)
}
