package uring

import (
	"cmp"
	"errors"
	"runtime"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/lifecycle"
	"chatbench/backends/internal/loopgroup"
	"chatbench/internal/processors"
)

// server is the running transport.
type server struct {
	*lifecycle.Server
	loops []*loop
}

func start(cfg backends.Config) (backends.Server, error) {
	n := max(cfg.Loops, 1)
	if n > 1 {
		var err error
		if cfg, err = loopgroup.SharePort(cfg); err != nil {
			return nil, err
		}
	}
	s := new(server)
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
	s.Server = lifecycle.New(s.loops[0].listener.Addr, s.stop)
	for i, m := range loopgroup.New(cfg.Room, bells...) {
		s.loops[i].member = m
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes the rings, each on the thread of its loop, and lets the loops begin when all have one.
// If one fails, all are closed, and open returns the error.
func (s *server) open() error {
	opened, begin := make(chan error), make(chan bool)
	errs := make([]error, len(s.loops))
	var ended sync.WaitGroup
	for i, l := range s.loops {
		ended.Go(func() {
			if errs[i] = l.serve(opened, begin); errs[i] != nil {
				s.stop(true) // the other loops would serve only some of the clients
			}
		})
	}
	var failed error
	for range s.loops {
		failed = cmp.Or(failed, <-opened)
	}
	// A loop keeps its processor while it waits. Sharing it with other goroutines would cost two
	// thread switches each time, because the loop's goroutine is locked to its thread.
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
		s.Ended(errors.Join(errs...))
	}()
	return nil
}

// serve makes the loop's ring and then runs the loop, both on one thread.
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

// stop makes the loops end when their connections have ended, or cuts them.
func (s *server) stop(cut bool) {
	for _, l := range s.loops {
		if cut {
			l.cutting.Store(true)
		}
		l.stopping.Store(true)
		l.bell.Ring()
	}
}
