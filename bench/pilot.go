package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/core/units"
	"chatbench/loadgen"
)

// What the pilot looks for: a rate at which the reference server uses its CPUs
// for a share between these two, so that it has something to do but no long
// queue, and the generator is busy for at most its share.
const (
	pilotIdle      = 0.20
	pilotBusy      = 0.35
	pilotGenerator = 0.60
	// pilotSaving is how much less than in proportion the server may use at the
	// next rate, because more messages share a write there. The next rate is then tried.
	pilotSaving = 1.15
)

// How it looks: slices of an open loop, the first at a low rate. A rate takes a
// quarter of a second, and two rates are enough on a quiet machine; on a busy one
// it tries again, within a number of tries and a time.
const (
	pilotSlices = 4
	pilotSlice  = 40 * time.Millisecond
	pilotLeadIn = 10 * time.Millisecond
	pilotFirst  = 200
	pilotTries  = 6
	pilotTime   = 3 * time.Second
)

// pilotRates are the rates to choose from, messages a second in all.
var pilotRates = []float64{100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000}

// pilot chooses the rate of the open loop, if the plan leaves that to it, and
// records how. It starts the reference server once; each rate has a fleet of
// its own. If nothing can be decided, because the machine is disturbed or the
// server fails, the plan's rate stays and the record says why: a server that fails
// here fails in the rounds too, whose records count. Only
// a server that does not start, an impossible load and an ended context are errors.
func (b *bench) pilot(ctx context.Context) error {
	if !b.cfg.Pilot {
		return nil
	}
	m := &b.run.Manifest
	b.progress(record.Cell{Arm: m.Reference, Load: "pilot"}, 0)
	begun := time.Now()
	arm := b.arms[m.Reference]
	p, err := b.start(ctx, arm)
	if err != nil {
		return fmt.Errorf("bench: %s: %w", arm.Name, err)
	}
	defer p.Kill()
	stage, err := loadgen.NewStage(ctx, b.threads(b.cfg.load()), m.GeneratorCPUs)
	if err != nil {
		return err
	}
	defer stage.Close()
	c := choice{least: 1 / b.cfg.load().Duration.Seconds()}
	for !c.done && len(c.tried) < pilotTries && time.Since(begun) < pilotTime && p.Died() == nil {
		one, err := b.try(ctx, stage, p, arm, c.next())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, loadgen.ErrConfig) || errors.Is(err, loadgen.ErrFileLimit) {
			return err
		}
		c.add(one)
	}
	m.Pilot = c.outcome(float64(b.cfg.Rates[0]))
	m.Pilot.Arm, m.Pilot.Took = arm.Name, time.Since(begun)
	b.cfg.Rates = []units.Rate{units.Rate(m.Pilot.Rate)}
	return nil
}

// try measures the reference server at one rate. What goes wrong is in the record;
// the error is for what ends the run.
func (b *bench) try(ctx context.Context, stage *loadgen.Stage, p *server.Process, arm record.Arm, rate float64) (one record.PilotRate, err error) {
	one.Rate = rate
	m := &meter.Meter{Root: p.PID, Counters: p.Counters, ServerCPUs: b.run.Manifest.CPUsOf(arm.Name), OtherCPUs: b.run.Manifest.GeneratorCPUs, TaskTime: b.taskTime, Limits: b.limits}
	var sum meter.Sum
	defer func() {
		if err != nil {
			one.Error = err.Error()
		}
		u := m.Usage(&sum)
		one.Foreign, one.Throttled = known(u.Foreign), known(u.Throttled)
		one.Disturbed = disturbed(one, err, b.run.Manifest.Rules)
	}()
	load := b.cfg.load()
	load.Rate, load.Arrivals = rate, "fixed"
	load.Warmup, load.Duration, load.Slices = pilotLeadIn, pilotSlice, pilotSlices
	cfg := b.loadConfig(p.Addr, new(record.Round), arm, load)
	cfg.Starved = func() bool { return meter.Starved(p.PID) }
	var from, to meter.Sample
	cfg.OnTimedStart = func() { from = m.ReadCounters() }
	cfg.OnTimedEnd = func() { to = m.ReadCounters() }
	fleet, err := stage.Join(cfg)
	if err != nil {
		return one, b.explain(ctx, p, err)
	}
	defer fleet.Leave()
	var wall, drove, busy time.Duration
	var deliveries uint64
	before := m.ReadAll()
	for range pilotSlices {
		result, edges, err := fleet.Slice()
		if err != nil {
			sum.Add(before, before, before, m.ReadAll())
			return one, b.explain(ctx, p, err)
		}
		after := m.ReadAll()
		sum.Add(from, to, before, after)
		before = after
		one.Slices++
		if late(result, b.run.Manifest.Rules) {
			one.Late++
		}
		wall, deliveries = wall+edges.Wall, deliveries+edges.Deliveries
		drove += time.Duration(result.Generator.Wall)
		busy += time.Duration(result.Generator.BusyRatio * float64(result.Generator.Wall))
		if edges.Missing > 0 {
			return one, fmt.Errorf("bench: %d deliveries did not come", edges.Missing)
		}
	}
	u := m.Usage(&sum)
	one.CPU = float64(*u.CPU) / float64(max(deliveries, 1))
	one.ServerBusy = float64(*u.CPU) / float64(wall) / float64(len(m.ServerCPUs))
	one.GeneratorBusy = float64(busy) / float64(drove)
	return one, nil
}

// disturbed says whether a try decides nothing because other processes used the CPUs: those of the
// server, which may be why it failed, or those of the generator; or because a CPU limit stopped both. That a server
// died is never excused.
func disturbed(one record.PilotRate, err error, r record.Rules) bool {
	if errors.Is(err, server.ErrDied) {
		return false
	}
	return errors.Is(err, loadgen.ErrStarved) || max(one.Foreign, one.Throttled) > cmp.Or(r.ExcuseMax, r.ForeignMax) || 2*one.Late > one.Slices
}

// late says whether the generator was late in a slice.
func late(r *loadgen.Result, rules record.Rules) bool {
	return float64(r.Generator.WorstLag()) > rules.LagShare*float64(rules.Objective)
}

// known is a share; 0 if it is not known.
func known(share *float64) float64 {
	if share == nil {
		return 0
	}
	return *share
}

// choice is the state of the pilot. The zero choice has tried nothing.
type choice struct {
	least float64 // no rate below it
	tried []record.PilotRate
	done  bool
	want  float64 // the rate to try next; 0: the first
	best  *record.PilotRate
	above float64 // the lowest rate that was too high; 0: none was
	// failure is the server's latest error in an undisturbed try.
	failure string
}

// next is the rate to try.
func (c *choice) next() float64 {
	if c.want == 0 {
		c.want = c.neighbour(pilotFirst, 0)
	}
	return c.want
}

// neighbour returns the rate that is the given number of places after the
// largest rate of the series that is at most rate, within the series and not below c.least.
func (c *choice) neighbour(rate float64, places int) float64 {
	least, at := 0, 0
	for i, r := range pilotRates {
		if r < c.least {
			least = min(i+1, len(pilotRates)-1)
		}
		if r <= rate {
			at = i
		}
	}
	return pilotRates[min(max(at+places, least), len(pilotRates)-1)]
}

// add takes what was measured at the rate that was next. A disturbed try
// is repeated. The first try shows what a delivery costs; next comes the
// largest rate at which that cost is not too much; then the next higher rate as long as
// the server has little to do and would not have too much there, or the next lower one.
func (c *choice) add(one record.PilotRate) {
	c.tried = append(c.tried, one)
	if one.Disturbed {
		return
	}
	if one.Error != "" {
		c.failure = one.Error
	}
	if one.Error != "" || one.ServerBusy > pilotBusy || one.GeneratorBusy > pilotGenerator {
		c.above = one.Rate
		lower := c.neighbour(one.Rate, -1)
		c.done = lower == one.Rate || c.best != nil && c.best.Rate >= lower
		if c.done && c.best == nil && one.Error == "" {
			c.best = &one
		}
		c.want = lower
		return
	}
	first := c.best == nil && c.above == 0
	c.best = &one
	most := one.Rate * min(pilotBusy/max(one.ServerBusy, 1e-6), pilotGenerator/max(one.GeneratorBusy, 1e-6)) // in proportion
	higher := c.neighbour(one.Rate, 1)
	if first {
		higher = max(higher, c.neighbour(most, 0))
	}
	enough := one.ServerBusy >= pilotIdle || higher > most*pilotSaving || higher == one.Rate
	c.done = enough || c.above > 0 && higher >= c.above
	c.want = higher
}

// outcome is the chosen rate, or fallback if none could be chosen.
func (c *choice) outcome(fallback float64) *record.Pilot {
	p := &record.Pilot{Tried: c.tried, Rate: fallback}
	if c.best == nil {
		if p.Why = fmt.Sprintf("nothing was decided in %d tries, because the machine is too disturbed", len(c.tried)); c.failure != "" {
			p.Why = "the server fails at every rate that was tried: " + c.failure
		}
		return p
	}
	p.Rate = c.best.Rate
	server, generator := 100*c.best.ServerBusy, 100*c.best.GeneratorBusy
	switch {
	case c.best.ServerBusy > pilotBusy || c.best.GeneratorBusy > pilotGenerator:
		p.Why = fmt.Sprintf("the lowest rate; the server is above %.0f %% or the generator above %.0f %% even there", 100*pilotBusy, 100*pilotGenerator)
	case c.best.ServerBusy >= pilotIdle:
		p.Why = fmt.Sprintf("the server uses %.0f %% of its CPU, between %.0f and %.0f; the generator is busy for %.0f %%", server, 100*pilotIdle, 100*pilotBusy, generator)
	default:
		p.Why = fmt.Sprintf("the server uses %.0f %% of its CPU and the generator is busy for %.0f %%; the next rate would be too much, or there is none", server, generator)
	}
	return p
}
