package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/rules"
	"chatbench/bench/server"
	"chatbench/core/units"
	"chatbench/loadgen"
	"chatbench/loadgen/hist"
)

// goneLimit is how long a server that cut its clients may take to be gone, for
// that to be why.
const goneLimit = time.Second

// measure runs one cell against a fresh server. An error ends the whole run:
// it was interrupted, or what cannot be in the first round cannot be at all.
// Everything else is in the record.
func (b *bench) measure(ctx context.Context, seq int, cell record.Cell) (record.Round, error) {
	arm, load := b.arms[cell.Arm], b.loads[cell.Load]
	r := record.Round{
		Schema: record.Schema, Seq: seq, Round: cell.Round, Load: cell.Load, Arm: cell.Arm, Backend: arm.Backend,
		StartedMs: time.Now().UnixMilli(),
	}
	err := b.load(ctx, &r, arm, load)
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err == nil:
	case errors.Is(err, loadgen.ErrConfig), errors.Is(err, loadgen.ErrFileLimit):
		return r, err
	default:
		reason := fact(err)
		if load.Scenario == record.Idle && (errors.Is(err, loadgen.ErrDenied) || errors.Is(err, loadgen.ErrUnreachable)) {
			reason = record.Disconnected // to let clients in is what is measured
		}
		r.Error, r.Void = err.Error(), append(r.Void, reason)
		if cell.Round <= 1 && r.Void[0] == record.NotStarted {
			return r, fmt.Errorf("bench: %s: %w", arm.Name, err)
		}
	}
	r.Void, r.Marks = rules.Judge(r, load, b.run.Manifest.Rules, b.ceilings[cell.Load])
	if cell.Arm == record.NullArm {
		if r.Error != "" || slices.ContainsFunc(r.Void, breach) {
			return r, fmt.Errorf("bench: the generator's certificate failed: %v %s", r.Void, r.Error)
		}
		if r.Counts() { // else the ceiling stays unknown, and the checks say so
			b.ceilings[cell.Load] = rules.PerSecond(r)
		}
	}
	return r, nil
}

// breach says whether a certificate with this reason is none: the null server
// may be slow, but it may not be wrong.
func breach(r record.Reason) bool { return r.Violation() && r != record.TargetMissed }

// fact classes an error by what was seen to happen.
func fact(err error) record.Reason {
	switch {
	case errors.As(err, new(notStarted)), errors.Is(err, loadgen.ErrUnreachable), errors.Is(err, loadgen.ErrDenied):
		return record.NotStarted
	case errors.Is(err, server.ErrDied):
		return record.ServerDied
	case errors.Is(err, loadgen.ErrBackpressure):
		return record.TargetMissed
	case errors.Is(err, loadgen.ErrDisconnected):
		return record.Disconnected
	}
	return record.LoadFailed
}

// notStarted is an error of a server that did not come up.
type notStarted struct{ error }

func (n notStarted) Unwrap() error { return n.error }

// load starts the server, puts the load on it, and hears it out.
func (b *bench) load(ctx context.Context, r *record.Round, arm record.Arm, load record.Load) error {
	socketsBefore, _ := meter.SocketMemory()
	p, err := b.start(ctx, arm)
	if err != nil {
		return notStarted{err}
	}
	defer p.Kill()
	m := &meter.Meter{
		Root: p.PID, Counters: p.Counters, SocketBase: socketsBefore,
		ServerCPUs: b.run.Manifest.ServerCPUs, OtherCPUs: b.run.Manifest.GeneratorCPUs,
	}
	b.note(r, p)
	cfg := b.generator(p.Addr, r, arm, load)
	before := m.Look()
	var from, to, after meter.Sample
	var base, held record.Usage
	m.Hold(&base)
	cfg.OnTimedStart = func() { from = m.Glance() }
	cfg.OnTimedEnd = func() { to = m.Glance() }
	cfg.OnQuiet = func() { after = m.Look(); m.Hold(&held) }
	runtime.GC() // now rather than in the timed section
	result, err := loadgen.Run(ctx, cfg)
	if err != nil {
		return b.blame(ctx, p, err)
	}
	r.StartedMs, r.Wall = from.At.UnixMilli(), load.Duration
	b.take(r, load, result)
	r.Usage = m.Between(from, to, before, after)
	r.Usage.Processes, r.Usage.Threads = held.Processes, held.Threads
	r.Usage.RSS, r.Usage.RSSPeak, r.Usage.PSS, r.Usage.SocketMemory = held.RSS, held.RSSPeak, held.PSS, held.SocketMemory
	r.Usage.RSSBase, r.Usage.PSSBase = base.RSS, base.PSS
	if r.Arm == record.NullArm {
		return nil
	}
	r.Server, err = p.Stop()
	return err
}

// start starts chatd, or for the certificate the null server.
func (b *bench) start(ctx context.Context, arm record.Arm) (*server.Process, error) {
	if arm.Name == record.NullArm {
		return b.launcher.Start(ctx, b.cfg.Syscalls, b.cfg.Loadgen, "null", "-listen", "127.0.0.1:0")
	}
	return b.launcher.Start(ctx, b.cfg.Syscalls, b.cfg.Chatd, chatdArguments(arm)...)
}

// note keeps what the server said of itself and how it is measured.
func (b *bench) note(r *record.Round, p *server.Process) {
	m := &b.run.Manifest
	if m.Measures == nil {
		m.Measures = p.Counters.Notes()
	}
	if r.Arm != record.NullArm {
		m.Servers[r.Arm] = p.Said
	}
}

// generator is the load as the generator takes it. All arms of a round have
// the same arrivals.
func (b *bench) generator(addr string, r *record.Round, arm record.Arm, load record.Load) loadgen.Config {
	cfg := generatorConfig(load)
	cfg.Server, cfg.Seed, cfg.CPU = addr, b.cfg.Seed+uint64(r.Round), b.run.Manifest.GeneratorCPUs
	if arm.Clients > 0 {
		cfg.Clients = arm.Clients
	}
	cfg.Rate = sweep(cfg.Rate, cfg.Warmup+cfg.Duration)
	if b.cfg.Progress != nil {
		cell := record.Cell{Round: r.Round, Load: r.Load, Arm: r.Arm}
		cfg.Progress = func(p loadgen.Progress) { b.progress(cell, p.PerSecond) }
	}
	return cfg
}

// sweep adds one message to a whole round of at least a hundred. The kernel's
// ticks split CPU into user and kernel; at a round rate each would see the same
// moment of a message, always busy or always idle. So the schedule moves by one
// of its distances in a round, past the ticks.
func sweep(rate units.Rate, round time.Duration) units.Rate {
	if one := units.Rate(1 / round.Seconds()); rate >= 100*one {
		return rate + one
	}
	return rate
}

// blame says why the load broke off: a server that is gone is why its clients
// lost their connections.
func (b *bench) blame(ctx context.Context, p *server.Process, err error) error {
	if errors.Is(err, loadgen.ErrDisconnected) && ctx.Err() == nil {
		select {
		case <-p.Done():
			return p.Died()
		case <-time.After(goneLimit):
		}
	}
	return err
}

// take copies what the generator measured.
func (b *bench) take(r *record.Round, load record.Load, from *loadgen.Result) {
	l := from.Ledger
	r.Traffic = record.Traffic{
		Messages:   int64(from.Messages.Sent),
		Deliveries: int64(from.Deliveries.InTime),
		Stalled:    int64(from.Generator.Stalled),
		Checked:    int64(from.Deliveries.InAll),
		Clients:    from.Login.Count,
		Lost:       int64(l.Lost), Duplicated: int64(l.Duplicated), Reordered: int64(l.Reordered),
		Altered: int64(l.Altered), OtherOrder: int64(l.OtherOrder),
		GeneratorBusy: from.Generator.BusyRatio,
		GeneratorRan:  float64(from.Generator.CPUUser+from.Generator.CPUSystem) / float64(max(from.Generator.Wall, 1)),
	}
	streams := map[string]*hist.Histogram{record.StreamSent: from.FromSend.Histogram, record.StreamLogin: from.Login.Histogram}
	if from.Requests != nil {
		r.Traffic.Checked += int64(from.Requests.Heard)
		r.Traffic.Chat, r.Traffic.ChatLag = int64(from.Requests.HeardInTime), from.Requests.ChatLag.P99NS
		streams[record.StreamChat] = from.Requests.Chat.Histogram
	}
	if load.Scenario == record.Idle {
		streams[record.StreamLag] = from.Generator.Lag.Histogram
	}
	if load.Open() {
		r.Traffic.Due, r.Traffic.Expected = int64(from.Messages.Due), int64(from.Deliveries.Due)
		streams[record.StreamDue] = from.FromDue.Histogram
		streams[record.StreamLag] = from.Generator.Lag.Histogram
	}
	for stream, h := range streams {
		b.keep(r, stream, h)
	}
}

// keep files a histogram under the round's start and puts its summary into
// the record.
func (b *bench) keep(r *record.Round, stream string, from *hist.Histogram) {
	h := from.HDR()
	if h.TotalCount() == 0 {
		return
	}
	b.run.Histograms[record.Key{Load: r.Load, Arm: r.Arm, Stream: stream, StartedMs: r.StartedMs}] = h
	switch s := record.Summarize(h); stream {
	case record.StreamDue:
		r.Due = s
	case record.StreamSent:
		r.Sent = s
	case record.StreamLag:
		r.Lag = s
	case record.StreamChat:
		r.Chat = s
	case record.StreamLogin:
		r.Login = s
	}
}
