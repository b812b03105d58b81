package uring

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/loopgroup"
	"chatbench/internal/processors"
)

// server is the transport at work.
type server struct {
	loops []*loop
	addr  netip.AddrPort
	done  chan struct{}
	err   error // set before done is closed
}

func start(cfg backends.Config) (backends.Server, error) {
	n := max(cfg.Loops, 1)
	if n > 1 {
		var err error
		if cfg, err = loopgroup.SharePort(cfg); err != nil {
			return nil, err
		}
	}
	s := &server{done: make(chan struct{})}
	var bells []loopgroup.Bell
	for range n {
		l, err := newLoop(cfg, n)
		if err != nil {
			for _, l := range s.loops {
				l.close()
			}
			return nil, err
		}
		s.loops, bells = append(s.loops, l), append(bells, l.bell)
	}
	s.addr = s.loops[0].listener.addr
	for i, m := range loopgroup.New(cfg.Room, bells...) {
		s.loops[i].member = m
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes the rings, each on the thread of its loop, and has the loops begin when
// all have theirs. If one has none, all are closed, and open says why.
func (s *server) open() error {
	opened, begin := make(chan error), make(chan bool)
	errs := make([]error, len(s.loops))
	var ended sync.WaitGroup
	for i, l := range s.loops {
		ended.Go(func() {
			if errs[i] = l.serve(opened, begin); errs[i] != nil {
				s.stop(true) // one loop less would serve only some of the clients
			}
		})
	}
	var failed error
	for range s.loops {
		failed = cmp.Or(failed, <-opened)
	}
	// A loop keeps its processor while it waits, and giving it to others for a moment
	// would cost a goroutine that is locked two switches of threads.
	lower := processors.Extra(len(s.loops))
	for range s.loops {
		begin <- failed == nil
	}
	if failed != nil {
		ended.Wait()
		lower()
		return failed
	}
	go func() {
		ended.Wait()
		lower()
		s.err = errors.Join(errs...)
		close(s.done)
	}()
	return nil
}

// serve makes the loop's ring and then turns the loop, both on one thread.
func (l *loop) serve(opened chan<- error, begin <-chan bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.openRing()
	opened <- err
	if !<-begin {
		l.close()
		return err
	}
	return l.run()
}

// stop tells the loops to end when their connections have, or to cut them.
func (s *server) stop(cut bool) {
	for _, l := range s.loops {
		if cut {
			l.cutting.Store(true)
		}
		l.stopping.Store(true)
		l.bell.Ring()
	}
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
