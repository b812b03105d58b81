package loadgen

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"chatbench/loadgen/pin"
)

// stageReach is how many octets of a room's stream the ledger of a fleet on a
// stage remembers: less than that of a single fleet, for many are there at
// once, and nobody falls behind by more than a slice.
const stageReach = 8 << 20

// Stage holds fleets that are logged in to servers of their own, and drives one
// of them at a time, all from one thread that is locked and maybe pinned. So
// servers can be compared in turns of a few milliseconds.
//
// It belongs to one goroutine.
type Stage struct {
	ctx    context.Context
	jobs   chan func()
	fleets []*Fleet // that have not left
}

// NewStage starts the thread on the given CPUs; none: anything.
func NewStage(ctx context.Context, cpu []int) (*Stage, error) {
	s := &Stage{ctx: ctx, jobs: make(chan func())}
	pinned := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine, CPU mask and all
		pinned <- pin.Thread(cpu)
		for job := range s.jobs {
			job()
		}
	}()
	if err := <-pinned; err != nil {
		close(s.jobs)
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return s, nil
}

// on does something on the stage's thread.
func (s *Stage) on(job func() error) error {
	done := make(chan error)
	s.jobs <- func() { done <- job() }
	return <-done
}

// Close takes everybody home who is still there and ends the thread.
func (s *Stage) Close() {
	for len(s.fleets) > 0 {
		s.fleets[0].Leave()
	}
	close(s.jobs)
}

// Fleet is clients that are logged in to one server.
type Fleet struct {
	stage     *Stage
	generator *generator
	unwatch   func() bool
	gone      bool
}

// Join logs a fleet in. Of the Config, Warmup and Duration are the lead-in and
// the counted part of each of its slices, Drain how long nothing may arrive at
// the end of either before the rest is lost; CPU is the stage's, and the hooks are
// called by Slice. The server must be awake.
func (s *Stage) Join(cfg Config) (*Fleet, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Scenario == Idle {
		return nil, configError("an idle load sends nothing, so it has no slices; give a broadcast or relay load")
	}
	f := &Fleet{stage: s, generator: newGenerator(cfg, stageReach)}
	f.generator.sliced = true
	for _, other := range s.fleets {
		f.generator.beside += other.generator.cfg.Clients
	}
	f.unwatch = context.AfterFunc(s.ctx, func() { f.generator.interrupted.Store(true) })
	s.fleets = append(s.fleets, f)
	if err := s.on(f.generator.connect); err != nil {
		f.Leave()
		return nil, err
	}
	return f, nil
}

// Slice drives the fleet once: a lead-in and its drain, OnTimedStart, the
// counted part and its drain, OnTimedEnd. Between the hooks is all that the
// counted messages cause and nothing else: at both edges nothing is under way.
// Due times begin anew with each part.
//
// The Result is of this slice alone, but for Messages.InAll, Deliveries.InAll,
// Login, Ledger and Notices, which are of the fleet so far. Where Edges.Missing
// is not 0, what was sent did not all come: the fleet must not be driven again.
// An error means the same.
func (f *Fleet) Slice() (*Result, *Edges, error) {
	g, e := f.generator, &Edges{}
	err := f.stage.on(func() error {
		if err := f.part(g.cfg.Warmup); err != nil {
			return err
		}
		_, before, missing := g.load.counts()
		if e.Missing = missing; missing > 0 {
			return nil
		}
		g.health = newHealth()
		call(g.cfg.OnTimedStart)
		began := g.now()
		if err := f.part(g.cfg.Duration); err != nil {
			return err
		}
		ended := g.now()
		call(g.cfg.OnTimedEnd)
		_, after, missing := g.load.counts()
		e.Deliveries, e.Missing = after-before, missing
		e.Wall, e.Drain = time.Duration(ended-began), time.Duration(ended-g.to)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return g.result(), e, nil
}

// Edges is what lies between the two edges of a slice's counted part.
type Edges struct {
	Wall       time.Duration
	Drain      time.Duration // of it, from when no more was sent to the last delivery
	Deliveries uint64        // all of them: of a relay load also what was said meanwhile
	Missing    uint64        // that never came
}

// part is one section of a slice, which starts at once.
func (f *Fleet) part(long time.Duration) error {
	g := f.generator
	if long == 0 {
		return nil
	}
	g.queue.waits.Reset()
	g.begin(g.now(), 0, long)
	err := g.drive()
	g.sections++
	return err
}

// Leave says goodbye for the fleet; it may be called again.
func (f *Fleet) Leave() {
	if f.gone {
		return
	}
	f.gone = true
	f.stage.fleets = slices.DeleteFunc(f.stage.fleets, func(other *Fleet) bool { return other == f })
	f.unwatch()
	f.stage.on(func() error {
		f.generator.disconnect()
		return nil
	})
}
