package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/rules"
	"chatbench/bench/server"
	"chatbench/loadgen"
	"chatbench/loadgen/hist"
)

// turns is one round under one load whose arms take turns: a fresh server for
// each, all alive, each with its clients logged in, and all but one frozen.
type turns struct {
	*bench
	load     record.Load
	stage    *loadgen.Stage
	turnArms []*turnArm
}

// turnArm is one arm of the round.
type turnArm struct {
	round   record.Round
	process *server.Process
	meter   *meter.Meter
	fleet   *loadgen.Fleet
	err     error // why the arm is not measured any more
	lost    bool  // deliveries are missing, so it is not measured any more

	frozenAt  meter.Sample // when it was last frozen
	from, to  meter.Sample // the edges of the current slice
	all       meter.Sum    // of all slices, including those that broke off
	sum       meter.Sum    // of the slices that count, like all that follows
	pooled    map[string]*hist.Histogram
	driven    time.Duration // how long the generator drove it
	busy, ran time.Duration // how long of that the generator was busy, and had a CPU
	base      record.Usage  // what the tree held before the first client came
}

// inTurns measures the arms of a round in turns. What went wrong with an
// arm is in failures; an error ends the whole run.
func (b *bench) inTurns(ctx context.Context, load record.Load, cells []record.Cell) (rounds []record.Round, failures []error, err error) {
	t := &turns{bench: b, load: load}
	if t.stage, err = loadgen.NewStage(ctx, b.threads(load), b.run.Manifest.GeneratorCPUs); err != nil {
		return nil, nil, err
	}
	defer t.stage.Close()
	for i, cell := range cells {
		s := &turnArm{round: b.newRound(i, cell), pooled: make(map[string]*hist.Histogram)}
		t.turnArms = append(t.turnArms, s)
		s.err = t.join(ctx, s)
		defer func() {
			if s.process != nil {
				s.process.Kill()
			}
		}()
	}
	// Garbage is not collected while an arm is measured, but after each slice.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	source := rand.New(rand.NewPCG(b.cfg.Seed, uint64(cells[0].Round)<<32|uint64(len(b.run.Rounds))))
	place := 0
	for block := 1; block <= load.Slices; block++ {
		for _, i := range source.Perm(len(t.turnArms)) {
			place++
			if s := t.turnArms[i]; s.err == nil && !s.lost && ctx.Err() == nil {
				s.err = t.slice(ctx, s, block, place)
			}
		}
	}
	for _, s := range t.turnArms {
		if s.err == nil {
			s.err = t.finish(s)
		}
		if s.meter != nil { // including slices that do not count: this may be the reason
			recordTaken(&s.round, s.meter.Usage(&s.all))
		}
		rounds, failures = append(rounds, s.round), append(failures, s.err)
	}
	return rounds, failures, nil
}

// join starts an arm's server, logs its clients in and freezes it.
func (t *turns) join(ctx context.Context, s *turnArm) error {
	arm := t.arms[s.round.Arm]
	p, err := t.start(ctx, arm)
	if err != nil {
		return notStarted{err}
	}
	s.process = p
	s.meter = &meter.Meter{
		Root: p.PID, Counters: p.Counters,
		ServerCPUs: t.run.Manifest.CPUsOf(arm.Name), OtherCPUs: t.run.Manifest.GeneratorCPUs, TaskTime: t.taskTime, Limits: t.limits,
	}
	t.recordServer(&s.round, p)
	s.meter.ReadMemory(&s.base)
	cfg := t.loadConfig(p.Addr, &s.round, arm, t.load)
	cfg.Starved = func() bool { return meter.Starved(p.PID) }
	cfg.OnTimedStart = func() { s.from = s.meter.ReadCounters() }
	cfg.OnTimedEnd = func() { s.to = s.meter.ReadCounters() }
	if s.fleet, err = t.stage.Join(cfg); err != nil {
		return t.explain(ctx, p, err)
	}
	if err := p.Freeze(); err != nil {
		return err
	}
	s.frozenAt = s.meter.ReadAll()
	return nil
}

// slice runs one slice of one arm.
func (t *turns) slice(ctx context.Context, s *turnArm, block, place int) error {
	runtime.GC()
	before := s.meter.ReadAll()
	s.round.FrozenCPU += time.Duration(*s.meter.Between(s.frozenAt, before, meter.Sample{}, meter.Sample{}).CPU)
	if err := s.process.Thaw(); err != nil {
		return err
	}
	result, edges, err := s.fleet.Slice()
	if err != nil {
		s.all.Add(before, before, before, s.meter.ReadAll())
		return t.explain(ctx, s.process, err)
	}
	if err := s.process.Freeze(); err != nil {
		return err
	}
	after := s.meter.ReadAll()
	s.frozenAt = after
	s.all.Add(before, before, before, after)
	s.lost = edges.Missing > 0
	recordLedger(&s.round.Traffic, result)
	t.recordTLS(result)
	one := t.figures(s, result, edges)
	one.Block, one.Place = block, place
	if one.Void = rules.Slice(one, t.load, t.run.Manifest.RulesOf(s.round.Arm)); len(s.round.Slices) == 0 {
		s.round.StartedMs = s.from.At.UnixMilli()
	}
	s.round.Slices = append(s.round.Slices, one)
	if one.Counts() {
		s.sum.Add(s.from, s.to, before, after)
		s.add(t.load, result, edges)
	}
	if t.cfg.Progress != nil {
		t.progress(record.Cell{Round: s.round.Round, Load: s.round.Load, Arm: s.round.Arm}, float64(edges.Deliveries)/edges.Wall.Seconds())
	}
	return nil
}

// figures returns the figures of a slice.
func (t *turns) figures(s *turnArm, r *loadgen.Result, e *loadgen.Edges) record.Slice {
	u := s.meter.Between(s.from, s.to, meter.Sample{}, meter.Sample{})
	latency := r.FromDue
	if t.load.Closed() {
		latency = r.FromSend
	}
	return record.Slice{
		Wall: e.Wall, Drain: e.Drain,
		Due: int64(r.Messages.Due), Messages: int64(r.Messages.Sent),
		InTime: int64(r.Deliveries.InTime), Deliveries: int64(e.Deliveries),
		CPU: *u.CPU, Switches: *u.ContextSwitches, Syscalls: u.Syscalls,
		P50: latency.P50NS, P99: latency.P99NS, LagP99: r.Generator.WorstLag(), Ran: r.Generator.Ran(), Busy: r.Generator.BusyRatio,
		QueueP50: r.Generator.Queue.P50NS, QueueP99: r.Generator.Queue.P99NS, QueueMax: r.Generator.Queue.MaxNS,
	}
}

// add adds a slice that counts to the totals of the round.
func (s *turnArm) add(load record.Load, r *loadgen.Result, e *loadgen.Edges) {
	s.round.Wall += load.Duration
	t, g := &s.round.Traffic, &r.Generator
	t.Due += int64(r.Messages.Due)
	t.Messages += int64(r.Messages.Sent)
	t.Deliveries += int64(r.Deliveries.InTime)
	t.Expected += int64(r.Deliveries.Due)
	t.Stalled += int64(g.Stalled)
	t.Between += int64(e.Deliveries)
	if r.Requests != nil {
		t.Chat += int64(r.Requests.HeardInTime)
		t.ChatLag = max(t.ChatLag, r.Requests.ChatLag.P99NS)
	}
	s.driven += time.Duration(g.Wall)
	s.busy += time.Duration(g.BusyRatio * float64(g.Wall))
	s.ran += time.Duration(g.Ran() * float64(g.Wall))
	for stream, h := range streams(load, r) {
		switch {
		case s.pooled[stream] == nil:
			s.pooled[stream] = hist.New()
			s.pooled[stream].Merge(h)
		case stream != record.StreamLogin: // every slice has the same logins
			s.pooled[stream].Merge(h)
		}
	}
}

// finish completes an arm's record and reads its server's counters at its end.
func (t *turns) finish(s *turnArm) (err error) {
	r := &s.round
	for stream, h := range s.pooled {
		t.recordHistogram(r, stream, h)
	}
	if s.driven > 0 {
		r.Traffic.GeneratorBusy, r.Traffic.GeneratorRan = float64(s.busy)/float64(s.driven), float64(s.ran)/float64(s.driven)
		r.Usage = s.meter.Usage(&s.sum)
	}
	s.meter.ReadMemory(&r.Usage)
	r.Usage.RSSBase, r.Usage.PSSBase = s.base.RSS, s.base.PSS
	r.Usage.SocketMemory = nil // it is of all servers together
	if err := s.process.Thaw(); err != nil {
		return err
	}
	s.fleet.Leave()
	if r.Arm == record.NullArm {
		return nil
	}
	r.Server, err = s.process.Stop()
	return err
}
