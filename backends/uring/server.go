package uring

import (
	"context"
	"net/netip"
	"runtime"

	"chatbench/backends"
	"chatbench/internal/processors"
)

// server is the transport at work.
type server struct {
	loop *loop
	addr netip.AddrPort
	done chan struct{}
	err  error // set before done is closed
}

func start(cfg backends.Config) (backends.Server, error) {
	l, err := newLoop(cfg)
	if err != nil {
		return nil, err
	}
	s := &server{loop: l, addr: l.listener.addr, done: make(chan struct{})}
	opened := make(chan error)
	go s.run(opened)
	if err := <-opened; err != nil {
		return nil, err
	}
	return s, nil
}

// run makes the ring and turns the loop, both on one thread.
func (s *server) run(opened chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.loop.openRing(); err != nil {
		s.loop.close()
		opened <- err
		return
	}
	// The loop keeps its processor while it waits, and giving it to others for a
	// moment would cost a goroutine that is locked two switches of threads.
	lower := processors.Extra(1)
	opened <- nil
	s.err = s.loop.run()
	lower()
	close(s.done)
}

// stop tells the loop to end when its connections have, or to cut them.
func (s *server) stop(cut bool) {
	if cut {
		s.loop.cutting.Store(true)
	}
	s.loop.stopping.Store(true)
	s.loop.bell.Ring()
}

func (s *server) Addr() netip.AddrPort  { return s.addr }
func (s *server) Done() <-chan struct{} { return s.done }
func (s *server) Err() error            { return s.err }

func (s *server) Shutdown(ctx context.Context) error {
	s.stop(false)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.stop(true)
		<-s.done
		return context.Cause(ctx)
	}
}
