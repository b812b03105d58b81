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
	load   record.Load
	stage  *loadgen.Stage
	stands []*stand
}

// stand is one arm in it.
type stand struct {
	round   record.Round
	process *server.Process
	meter   *meter.Meter
	fleet   *loadgen.Fleet
	err     error // it is over with this arm
	lost    bool  // so it is: what was sent did not all come

	froze     meter.Sample // when it was last frozen
	from, to  meter.Sample // the edges of the slice that is going on
	all       meter.Sum    // of all slices, those broken off too
	sum       meter.Sum    // of the slices that count, as all that follows
	pooled    map[string]*hist.Histogram
	drove     time.Duration // by the generator
	busy, ran time.Duration // of that
	base      record.Usage  // what the tree held before the first client came
}

// inTurns measures the arms of a round in turns. What went wrong with one of
// them is in failures; an error is that of the whole run.
func (b *bench) inTurns(ctx context.Context, load record.Load, cells []record.Cell) (rounds []record.Round, failures []error, err error) {
	t := &turns{bench: b, load: load}
	if t.stage, err = loadgen.NewStage(ctx, b.threads(load), b.run.Manifest.GeneratorCPUs); err != nil {
		return nil, nil, err
	}
	defer t.stage.Close()
	for i, cell := range cells {
		s := &stand{round: b.blank(i, cell), pooled: make(map[string]*hist.Histogram)}
		t.stands = append(t.stands, s)
		s.err = t.enter(ctx, s)
		defer func() {
			if s.process != nil {
				s.process.Kill()
			}
		}()
	}
	// No garbage is collected while somebody is measured, but after each slice.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	source := rand.New(rand.NewPCG(b.cfg.Seed, uint64(cells[0].Round)<<32|uint64(len(b.run.Rounds))))
	place := 0
	for block := 1; block <= load.Slices; block++ {
		for _, i := range source.Perm(len(t.stands)) {
			place++
			if s := t.stands[i]; s.err == nil && !s.lost && ctx.Err() == nil {
				s.err = t.slice(ctx, s, block, place)
			}
		}
	}
	for _, s := range t.stands {
		if s.err == nil {
			s.err = t.leave(s)
		}
		if s.meter != nil { // of the slices that do not count too: it may be why they do not
			u := s.meter.Usage(&s.all)
			s.round.Usage.Foreign, s.round.Usage.Uncharged, s.round.Usage.Steal = u.Foreign, u.Uncharged, u.Steal
		}
		rounds, failures = append(rounds, s.round), append(failures, s.err)
	}
	return rounds, failures, nil
}

// enter starts an arm's server, logs its clients in and freezes it.
func (t *turns) enter(ctx context.Context, s *stand) error {
	arm := t.arms[s.round.Arm]
	p, err := t.start(ctx, arm)
	if err != nil {
		return notStarted{err}
	}
	s.process = p
	s.meter = &meter.Meter{
		Root: p.PID, Counters: p.Counters,
		ServerCPUs: t.run.Manifest.CPUsOf(arm.Name), OtherCPUs: t.run.Manifest.GeneratorCPUs, Ran: t.ran,
	}
	t.note(&s.round, p)
	s.meter.Hold(&s.base)
	cfg := t.generator(p.Addr, &s.round, arm, t.load)
	cfg.Starved = func() bool { return meter.Starved(p.PID) }
	cfg.OnTimedStart = func() { s.from = s.meter.Glance() }
	cfg.OnTimedEnd = func() { s.to = s.meter.Glance() }
	if s.fleet, err = t.stage.Join(cfg); err != nil {
		return t.blame(ctx, p, err)
	}
	if err := p.Freeze(); err != nil {
		return err
	}
	s.froze = s.meter.Look()
	return nil
}

// slice lets one arm go on for one slice.
func (t *turns) slice(ctx context.Context, s *stand, block, place int) error {
	runtime.GC()
	before := s.meter.Look()
	s.round.FrozenCPU += time.Duration(*s.meter.Between(s.froze, before, meter.Sample{}, meter.Sample{}).CPU)
	if err := s.process.Thaw(); err != nil {
		return err
	}
	result, edges, err := s.fleet.Slice()
	if err != nil {
		s.all.Add(before, before, before, s.meter.Look())
		return t.blame(ctx, s.process, err)
	}
	if err := s.process.Freeze(); err != nil {
		return err
	}
	after := s.meter.Look()
	s.froze = after
	s.all.Add(before, before, before, after)
	s.lost = edges.Missing > 0
	book(&s.round.Traffic, result)
	t.agreed(result)
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

// figures is a slice in figures.
func (t *turns) figures(s *stand, r *loadgen.Result, e *loadgen.Edges) record.Slice {
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

// add adds a slice that counts to what the round is in all.
func (s *stand) add(load record.Load, r *loadgen.Result, e *loadgen.Edges) {
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
	s.drove += time.Duration(g.Wall)
	s.busy += time.Duration(g.BusyRatio * float64(g.Wall))
	s.ran += time.Duration(g.Ran() * float64(g.Wall))
	for stream, h := range streams(load, r) {
		switch {
		case s.pooled[stream] == nil:
			s.pooled[stream] = hist.New()
			s.pooled[stream].Merge(h)
		case stream != record.StreamLogin: // of which every slice tells the same
			s.pooled[stream].Merge(h)
		}
	}
}

// leave completes an arm's record and hears its server out.
func (t *turns) leave(s *stand) (err error) {
	r := &s.round
	for stream, h := range s.pooled {
		t.keep(r, stream, h)
	}
	if s.drove > 0 {
		r.Traffic.GeneratorBusy, r.Traffic.GeneratorRan = float64(s.busy)/float64(s.drove), float64(s.ran)/float64(s.drove)
		r.Usage = s.meter.Usage(&s.sum)
	}
	s.meter.Hold(&r.Usage)
	r.Usage.RSSBase, r.Usage.PSSBase = s.base.RSS, s.base.PSS
	r.Usage.SocketMemory = nil // all servers' together
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
