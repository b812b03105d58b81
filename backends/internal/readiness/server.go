package readiness

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/loopgroup"
)

// Start serves with so many loops, each on a Poller of its own. Several loops
// share the port with SO_REUSEPORT, and all read the one broadcast log.
func Start(cfg backends.Config, loops int, newPoller func() (Poller, error)) (backends.Server, error) {
	s := &server{done: make(chan struct{})}
	if loops > 1 {
		var err error
		if cfg, err = loopgroup.SharePort(cfg); err != nil {
			return nil, err
		}
	}
	for i := range loops {
		l, err := newLoop(cfg, newPoller, loops > 1)
		if err != nil {
			s.abandon()
			return nil, err
		}
		if e, ok := l.poller.(interface{ beExact() error }); ok && cfg.Coalesce != backends.CoalesceOff {
			if err := e.beExact(); err != nil {
				if i == 0 { // it is the same for all
					cfg.Log.Warn("output waits for whole milliseconds, for lack of epoll_pwait2 (Linux 5.11)", "err", err)
				}
			}
		}
		// Of several processors one is left to others: while all are held,
		// nobody looks after the goroutines that wait in Go's own poller. More
		// loops than CPUs cannot all run, so no more of them hold a processor.
		l.holds = i < max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())-1)
		s.loops = append(s.loops, l)
	}
	s.addr = s.loops[0].listener.addr
	acquaint(s.loops)
	go s.run()
	return s, nil
}

// acquaint makes one group of loops that serve one room.
func acquaint(loops []*loop) {
	var bells []loopgroup.Bell
	for _, l := range loops {
		bells = append(bells, l.bell)
	}
	for i, m := range loopgroup.New(loops[0].cfg.Room, bells...) {
		loops[i].member = m
	}
}

// server is a set of loops.
type server struct {
	loops []*loop
	addr  netip.AddrPort
	done  chan struct{}
	err   error // set before done is closed
}

// abandon closes loops that never ran.
func (s *server) abandon() {
	for _, l := range s.loops {
		l.close()
	}
}

func (s *server) run() {
	errs := make([]error, len(s.loops))
	var wg sync.WaitGroup
	for i, l := range s.loops {
		wg.Go(func() {
			if errs[i] = l.run(); errs[i] != nil {
				s.stop(true) // one loop less would serve only some of the clients
			}
		})
	}
	wg.Wait()
	s.err = errors.Join(errs...)
	close(s.done)
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
