package gnet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	lib "github.com/panjf2000/gnet/v2"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/backends/internal/socket"
)

// server is the transport at work.
type server struct {
	cfg    backends.Config
	accept acceptor.Conns
	engine *lib.Client
	loop   *loop

	stop sync.Once
	done chan struct{}
	cut  error // set before done is closed
}

func start(cfg backends.Config) (backends.Server, error) {
	accept, err := acceptor.ListenConns(cfg, name)
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, accept: accept, loop: newLoop(cfg), done: make(chan struct{})}
	if err := s.open(); err != nil {
		accept.Abandon()
		return nil, fmt.Errorf("gnet: %w", err)
	}
	accept.Run(s.take)
	return s, nil
}

// open starts the engine.
func (s *server) open() (err error) {
	s.engine, err = lib.NewClient(s.loop,
		lib.WithNumEventLoop(1),
		lib.WithReadBufferCap(readSize),
		lib.WithLogger(logger{s.cfg.Log, &s.loop.lines}))
	if err != nil {
		return err
	}
	return s.engine.Start()
}

// Addr is where the server is bound.
func (s *server) Addr() netip.AddrPort { return s.accept.Addr() }

// Done is closed when nothing is left.
func (s *server) Done() <-chan struct{} { return s.done }

// Err is nil: nothing that a client or a lack of descriptors does ends the
// engine, as it has no listener.
func (s *server) Err() error { return nil }

// take accepts a connection and hands it to the engine, which takes a duplicate
// of its descriptor; it returns when OnOpen has. A connection for which there is
// no second descriptor is as good as not accepted.
func (s *server) take() error {
	nc, err := s.accept.Conn()
	if err != nil {
		return err
	}
	if _, err = s.engine.Enroll(nc); socket.Exhausted(err) {
		s.cfg.Counters.NoDescriptors.Add(1)
	}
	return err
}

// Shutdown stops accepting and waits for the connections to end; those which
// are left when ctx ends are cut.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { go s.wind() })
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
	s.accept.Close()
	s.loop.end()
	<-s.loop.empty
	if err := s.engine.Stop(); err != nil {
		s.cfg.Log.Error("gnet ended in disorder", "err", err)
	}
	s.cut = s.loop.cut
	close(s.done)
}
