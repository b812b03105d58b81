package loadgen

import (
	"context"
	"slices"
	"time"
)

// stageReach is how many octets of a room's stream the ledger of a fleet on a
// stage remembers. It is less than that of a single fleet: there are many at
// the same time, and no receiver falls behind by more than a slice.
const stageReach = 8 << 20

// Stage has fleets of clients, each logged in to a server of its own, and drives one
// fleet at a time, all from the same threads, which are locked and pinned on request. So
// servers can be compared in turns of a few milliseconds.
//
// It belongs to one goroutine.
type Stage struct {
	ctx     context.Context
	threads *threads
	fleets  []*Fleet // that have not left
}

// NewStage starts that many threads: a single thread runs on any of the CPUs, several have
// one CPU each; without CPUs they run anywhere. Several threads drive only broadcast loads.
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

// Close logs all fleets out and ends the threads.
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
// the counted part of each of its slices; Drain is how long nothing may arrive at
// the end of either before the rest is lost; Threads and CPU are the stage's, and Slice
// calls the hooks. The server must not be frozen.
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
	others := 0
	for _, other := range s.fleets {
		others += other.generators.cfg.Clients
	}
	s.threads.first(func() error {
		f.generators = newGenerators(cfg, s.threads, stageReach)
		return nil
	})
	for _, g := range f.generators.all {
		g.sliced, g.otherClients = true, others
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
// counted part and its drain, OnTimedEnd. Everything that the counted messages cause
// happens between the hooks, and nothing else does: nothing is in flight at either edge.
// Each part has due times of its own.
//
// The Result is of this slice alone, except for Messages.InAll, Deliveries.InAll,
// Login, Ledger and Notices, which are of the fleet so far. If Edges.Missing
// is not 0, deliveries are missing: the fleet must not be driven again.
// An error means the same.
func (f *Fleet) Slice() (*Result, *Edges, error) {
	gs, e := f.generators, &Edges{}
	first := gs.all[0]
	err := f.stage.threads.first(func() error {
		if err := f.section(gs.cfg.Warmup); err != nil {
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
		if err := f.section(gs.cfg.Duration); err != nil {
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

// Edges is what happened between the two edges of a slice's counted part.
type Edges struct {
	Wall       time.Duration
	Drain      time.Duration // the part of it from the last message sent to the last delivery
	Deliveries uint64        // all deliveries, in a relay load those of chat too
	Missing    uint64        // deliveries that never came
}

// section is one section of a slice. It starts at once; with several threads, as soon
// as all of them know of it.
func (f *Fleet) section(duration time.Duration) error {
	gs := f.generators
	if duration == 0 {
		return nil
	}
	lead := time.Duration(0)
	if len(gs.all) > 1 {
		lead = startLead
	}
	for _, g := range gs.all {
		g.queue.waits.Reset()
	}
	err := gs.drive(lead, 0, duration)
	for _, g := range gs.all {
		g.sections++
	}
	return err
}

// Leave logs the fleet out; it may be called again.
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
