package readiness

import (
	"errors"
	"runtime"
	"sync"

	"chatbench/backends"
	"chatbench/backends/internal/lifecycle"
	"chatbench/backends/internal/loopgroup"
)

// Start starts a server with the given number of loops, each on a Poller of its own. Several loops
// share the port with SO_REUSEPORT, and all read the same broadcast log.
func Start(cfg backends.Config, loops int, newPoller func() (Poller, error)) (backends.Server, error) {
	s := new(server)
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
		if e, ok := l.poller.(interface{ setPrecise() error }); ok && cfg.Coalesce != backends.CoalesceOff {
			if err := e.setPrecise(); err != nil {
				if i == 0 { // once: it is the same for all
					cfg.Log.Warn("output waits in whole milliseconds, because epoll_pwait2 is not available: use Linux 5.11 or later", "err", err)
				}
			}
		}
		// One of several processors is left to other goroutines: while loops keep all of them,
		// nothing runs Go's own netpoller. Of more loops than CPUs not all can run, so the others
		// do not keep a processor.
		l.keepsProcessor = i < max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())-1)
		s.loops = append(s.loops, l)
	}
	s.Server = lifecycle.New(s.loops[0].listener.Addr, s.stop)
	joinGroup(s.loops)
	go s.run()
	return s, nil
}

// joinGroup puts the loops of a room into one group.
func joinGroup(loops []*loop) {
	var bells []loopgroup.Bell
	for _, l := range loops {
		bells = append(bells, l.bell)
	}
	for i, m := range loopgroup.New(loops[0].cfg.Room, bells...) {
		loops[i].member = m
	}
}

// server is the loops of a transport.
type server struct {
	*lifecycle.Server
	loops []*loop
}

// abandon closes loops that do not run yet.
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
				s.stop(true) // the other loops would serve only some of the clients
			}
		})
	}
	wg.Wait()
	s.Ended(errors.Join(errs...))
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
