package loadgen

import (
	"context"
	"slices"
	"time"
)

// stageReach is how many octets of a room's stream the ledger of a fleet on a
// stage remembers: less than that of a single fleet, for many are there at
// once, and nobody falls behind by more than a slice.
const stageReach = 8 << 20

// Stage holds fleets that are logged in to servers of their own, and drives one
// of them at a time, all from the same threads, which are locked and maybe pinned. So
// servers can be compared in turns of a few milliseconds.
//
// It belongs to one goroutine.
type Stage struct {
	ctx     context.Context
	threads *threads
	fleets  []*Fleet // that have not left
}

// NewStage starts so many threads: one on any of the given CPUs, or each of several on
// one for itself; no CPUs: anywhere. With several, all fleets are of broadcast loads.
func NewStage(ctx context.Context, threads int, cpus []int) (*Stage, error) {
	if err := checkThreads(threads, cpus); err != nil {
		return nil, err
	}
	t, err := startThreads(threads, cpus)
	if err != nil {
		return nil, err
	}
	return &Stage{ctx: ctx, threads: t}, nil
}

// Close takes everybody home who is still there and ends the threads.
func (s *Stage) Close() {
	for len(s.fleets) > 0 {
		s.fleets[0].Leave()
	}
	s.threads.close()
}

// Fleet is clients that are logged in to one server.
type Fleet struct {
	stage      *Stage
	generators *generators
	unwatch    func() bool
	gone       bool
}

// Join logs a fleet in. Of the Config, Warmup and Duration are the lead-in and
// the counted part of each of its slices, Drain how long nothing may arrive at
// the end of either before the rest is lost; Threads and CPU are the stage's, and the hooks are
// called by Slice. The server must be awake.
func (s *Stage) Join(cfg Config) (*Fleet, error) {
	cfg.Threads, cfg.CPU = len(s.threads.jobs), nil
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Agent != nil {
		return nil, configError("several agents have no slices; measure in one piece")
	}
	if cfg.Scenario == Idle {
		return nil, configError("an idle load sends nothing, so it has no slices; give a broadcast or relay load")
	}
	f := &Fleet{stage: s}
	beside := 0
	for _, other := range s.fleets {
		beside += other.generators.cfg.Clients
	}
	s.threads.first(func() error {
		f.generators = newGenerators(cfg, s.threads, stageReach)
		return nil
	})
	for _, g := range f.generators.all {
		g.sliced, g.beside = true, beside
	}
	f.unwatch = context.AfterFunc(s.ctx, f.generators.interrupt)
	s.fleets = append(s.fleets, f)
	if err := s.threads.first(f.generators.connect); err != nil {
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
	gs, e := f.generators, &Edges{}
	first := gs.all[0]
	err := f.stage.threads.first(func() error {
		if err := f.part(gs.cfg.Warmup); err != nil {
			return err
		}
		_, before, missing := gs.counts()
		if e.Missing = missing; missing > 0 {
			return nil
		}
		for _, g := range gs.all {
			g.health = newHealth()
		}
		call(gs.cfg.OnTimedStart)
		began := first.now()
		if err := f.part(gs.cfg.Duration); err != nil {
			return err
		}
		ended := first.now()
		call(gs.cfg.OnTimedEnd)
		_, after, missing := gs.counts()
		e.Deliveries, e.Missing = after-before, missing
		e.Wall, e.Drain = time.Duration(ended-began), time.Duration(ended-first.to)
		return gs.tail()
	})
	if err != nil {
		return nil, nil, err
	}
	return merge(gs.parts(), &gs.cfg), e, nil
}

// Edges is what lies between the two edges of a slice's counted part.
type Edges struct {
	Wall       time.Duration
	Drain      time.Duration // of it, from when no more was sent to the last delivery
	Deliveries uint64        // all of them: of a relay load also what was said meanwhile
	Missing    uint64        // that never came
}

// part is one section of a slice, which starts at once; with several threads, as soon
// as all of them know of it.
func (f *Fleet) part(long time.Duration) error {
	gs := f.generators
	if long == 0 {
		return nil
	}
	lead := time.Duration(0)
	if len(gs.all) > 1 {
		lead = startLead
	}
	for _, g := range gs.all {
		g.queue.waits.Reset()
	}
	err := gs.drive(lead, 0, long)
	for _, g := range gs.all {
		g.sections++
	}
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
	f.stage.threads.first(func() error {
		f.generators.disconnect()
		return nil
	})
}
