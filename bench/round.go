package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/rules"
	"chatbench/bench/server"
	"chatbench/core/units"
	"chatbench/loadgen"
	"chatbench/loadgen/agents"
	"chatbench/loadgen/hist"
)

// goneLimit is how long a server that cut its clients may take to be gone, for
// that to be why.
const goneLimit = 5 * time.Second

// firstPart: one client in so many of an idle load logs in before memory is
// taken a first time. What a client holds is the slope between that and all of
// them; what a server takes once, for its first clients, is in neither.
const firstPart = 4

// measure runs the cells of a round that belong together, each against a fresh
// server. An error ends the whole run: it was interrupted, or what cannot be in
// the first round cannot be at all. Everything else is in the records.
func (b *bench) measure(ctx context.Context, cells []record.Cell) (rounds []record.Round, err error) {
	load := b.loads[cells[0].Load]
	var failures []error
	if load.Sliced() {
		rounds, failures, err = b.inTurns(ctx, load, cells)
	} else {
		r := b.blank(0, cells[0])
		failures = []error{b.load(ctx, &r, b.arms[r.Arm], load)}
		rounds = []record.Round{r}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i := range rounds {
		err = errors.Join(err, b.judge(&rounds[i], load, failures[i]))
	}
	return rounds, err
}

// blank is the record of a cell in which nothing is measured yet.
func (b *bench) blank(i int, cell record.Cell) record.Round {
	return record.Round{
		Schema: record.Schema, Seq: len(b.run.Rounds) + i + 1, Round: cell.Round, Load: cell.Load, Arm: cell.Arm,
		Backend: b.arms[cell.Arm].Backend, StartedMs: time.Now().UnixMilli(),
	}
}

// judge says whether a round counts that came to an end with an error, or without.
func (b *bench) judge(r *record.Round, load record.Load, err error) error {
	switch {
	case err == nil:
	case wrongSetup(err) && !(b.agents != nil && slices.ContainsFunc(b.run.Rounds, func(r record.Round) bool { return r.Counts() })):
		return err
	default:
		reason := fact(err)
		if load.Scenario == record.Idle && (errors.Is(err, loadgen.ErrDenied) || errors.Is(err, loadgen.ErrUnreachable)) {
			reason = record.Disconnected // to let clients in is what is measured
		}
		r.Error, r.Void = err.Error(), append(r.Void, reason)
		if r.Round <= 1 && r.Void[0] == record.NotStarted {
			return fmt.Errorf("bench: %s: %w", r.Arm, err)
		}
	}
	r.Void, r.Marks = rules.Judge(*r, load, b.run.Manifest.RulesOf(r.Arm), 0) // the ceiling: see mark
	if r.Arm == record.NullArm {
		unheard := r.Error != "" && r.Round <= 1 && !slices.Contains(r.Void, record.Starved)
		if unheard || r.Error == "" && slices.ContainsFunc(r.Void, breach) {
			return fmt.Errorf("bench: the load generator failed against its own null server, so no figure could be trusted; "+
				"try again with less else on this machine (%s: %s)", r.Load, cmp.Or(r.Error, fmt.Sprint(r.Void)))
		}
	}
	return nil
}

// wrongSetup says whether a load is refused for its plan or the limits of who drives it. Where agents
// have driven one, it is the fault of one that came later.
func wrongSetup(err error) bool {
	return errors.Is(err, loadgen.ErrConfig) || errors.Is(err, loadgen.ErrFileLimit)
}

// mark judges all rounds once more when everything is measured: a rate is held
// against all that is known of the ceiling, whenever that was measured.
func (b *bench) mark() {
	for i := range b.run.Rounds {
		r := &b.run.Rounds[i]
		r.Void, r.Marks = rules.Judge(*r, b.loads[r.Load], b.run.Manifest.RulesOf(r.Arm), report.CeilingOf(b.run, r.Load, r.Arm))
	}
}

// breach says whether the null server may not fail for a reason: it may be slow,
// but if something is wrong, the generator is.
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
	case errors.Is(err, loadgen.ErrStarved):
		return record.Starved
	case errors.Is(err, loadgen.ErrDisconnected):
		return record.Disconnected
	case errors.Is(err, agents.ErrLost), wrongSetup(err):
		return record.AgentLost
	}
	return record.LoadFailed
}

// notStarted is an error of a server that did not come up.
type notStarted struct{ error }

func (n notStarted) Unwrap() error { return n.error }

// load starts the server, puts the load on it, and hears it out.
func (b *bench) load(ctx context.Context, r *record.Round, arm record.Arm, load record.Load) error {
	if err := b.gatherAgain(ctx, r); err != nil {
		return err
	}
	socketsBefore, _ := meter.SocketMemory()
	p, err := b.start(ctx, arm)
	if err != nil {
		return notStarted{err}
	}
	defer p.Kill()
	m := &meter.Meter{
		Root: p.PID, Counters: p.Counters, SocketBase: socketsBefore,
		ServerCPUs: b.run.Manifest.CPUsOf(arm.Name), OtherCPUs: b.run.Manifest.GeneratorCPUs, Ran: b.ran,
	}
	b.note(r, p)
	cfg := b.generator(p.Addr, r, arm, load)
	cfg.Starved = func() bool { return meter.Starved(p.PID) }
	before := m.Look()
	var from, to, after meter.Sample
	var base, first, held record.Usage
	m.Hold(&base)
	cfg.OnTimedStart = func() { from = m.Glance() }
	cfg.OnTimedEnd = func() { to = m.Glance() }
	cfg.OnFirst = func() { m.Hold(&first) }
	cfg.OnQuiet = func() { after = m.Look(); m.Hold(&held) }
	runtime.GC() // now rather than in the timed section
	result, err := b.drive(ctx, cfg)
	if err != nil {
		others(r, m, before, m.Look())
		return b.blame(ctx, p, err)
	}
	r.StartedMs, r.Wall = from.At.UnixMilli(), load.Duration
	b.take(r, load, result)
	r.Usage = m.Between(from, to, before, after)
	if b.agents != nil {
		r.Usage.Cut = to.At.Sub(from.At)
	}
	r.Usage.Processes, r.Usage.Threads = held.Processes, held.Threads
	r.Usage.RSS, r.Usage.RSSPeak, r.Usage.PSS, r.Usage.SocketMemory = held.RSS, held.RSSPeak, held.PSS, held.SocketMemory
	r.Usage.RSSBase, r.Usage.PSSBase = base.RSS, base.PSS
	r.Usage.FirstClients, r.Usage.RSSFirst, r.Usage.PSSFirst = int64(cfg.First), first.RSS, first.PSS
	if r.Arm == record.NullArm {
		return nil
	}
	r.Server, err = p.Stop()
	return err
}

// start starts chatd, or the null server.
func (b *bench) start(ctx context.Context, arm record.Arm) (*server.Process, error) {
	l, err := b.launcher(arm.Name)
	switch {
	case err != nil:
		return nil, err
	case arm.Name == record.NullArm:
		return l.Start(ctx, b.cfg.Syscalls, b.cfg.Loadgen, "null", "-listen", "127.0.0.1:0")
	}
	args := append(chatdArguments(arm), b.listenFor()...)
	if arm.TLS {
		args = append(args, b.identity.arguments()...)
	}
	return l.Start(ctx, b.cfg.Syscalls, cmp.Or(arm.Chatd, b.cfg.Chatd), args...)
}

// note keeps what the server said of itself and how it is measured.
func (b *bench) note(r *record.Round, p *server.Process) {
	m := &b.run.Manifest
	if m.Measures["cpu"] == "" {
		maps.Copy(m.Measures, p.Counters.Notes())
		m.Measures["others"] = b.ran.Note()
		if b.loads[r.Load].Scenario == record.Idle {
			m.Measures["memory a client"] = "the slope between two numbers of clients: what is held with all of them less what is held with the first part, by the clients in between"
		}
		if b.loads[r.Load].Sliced() {
			m.Measures["socket memory"] = "absent: in slices all servers are there at once"
			m.Measures["memory"] += "; the program's own pages are shared by the servers of all arms, so PSS has only a part of them"
		}
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
	cfg.Threads = b.threads(load)
	if arm.Clients > 0 {
		cfg.Clients = arm.Clients
	}
	if arm.TLS {
		cfg.TLS = b.identity.trust
	}
	if load.Scenario == record.Idle {
		cfg.First = cfg.Clients / firstPart
	}
	if !load.Sliced() { // whose slices begin anywhere between two ticks
		cfg.Rate = sweep(cfg.Rate, cfg.Warmup+cfg.Duration)
	}
	if b.cfg.Progress != nil {
		cell := record.Cell{Round: r.Round, Load: r.Load, Arm: r.Arm}
		cfg.Progress = func(p loadgen.Progress) { b.progress(cell, p.PerSecond) }
	}
	return cfg
}

// threads is how many the generator has under a load: for talk one for each of its CPUs,
// else one on all of them. With agents it has none.
func (b *bench) threads(load record.Load) int {
	if len(b.cfg.Agents) > 0 {
		return 0
	}
	if load.Scenario != record.Broadcast {
		return 1
	}
	return max(1, len(b.run.Manifest.GeneratorCPUs))
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

// others keeps what others took of the CPUs between two looks: it may be why a
// server did not keep up.
func others(r *record.Round, m *meter.Meter, before, after meter.Sample) {
	u := m.Between(before, after, before, after)
	r.Usage.Foreign, r.Usage.Uncharged, r.Usage.Steal = u.Foreign, u.Uncharged, u.Steal
}

// take copies what the generator measured.
func (b *bench) take(r *record.Round, load record.Load, from *loadgen.Result) {
	book(&r.Traffic, from)
	b.agreed(from)
	t := &r.Traffic
	t.Messages, t.Deliveries, t.Stalled = int64(from.Messages.Sent), int64(from.Deliveries.InTime), int64(from.Generator.Stalled)
	t.GeneratorBusy, t.GeneratorRan = from.Generator.BusyRatio, from.Generator.Ran()
	if from.Requests != nil {
		t.Chat, t.ChatLag = int64(from.Requests.HeardInTime), from.Requests.ChatLag.P99NS
	}
	if load.Open() {
		t.Due, t.Expected, t.GeneratorLag = int64(from.Messages.Due), int64(from.Deliveries.Due), from.Generator.WorstLag()
	}
	if from.Elsewhere != nil {
		r.ElsewhereBound = time.Duration(from.Elsewhere.Bound)
	}
	for stream, h := range streams(load, from) {
		b.keep(r, stream, h)
	}
}

// agreed keeps what clients and server of an arm by TLS agreed on. It is the same for
// all: one generator, and servers that are given one certificate.
func (b *bench) agreed(from *loadgen.Result) {
	if t := from.TLS; t != nil && b.run.Manifest.Measures["tls"] == "" {
		b.run.Manifest.Measures["tls"] = fmt.Sprintf("%s, %s, key exchange %s, the server's own certificate of ECDSA P-256; "+
			"the generator's part is in latencies and in its own use, never in the server's", t.Version, t.CipherSuite, t.KeyExchange)
	}
}

// book copies what the ledger holds of everything since the login.
func book(t *record.Traffic, from *loadgen.Result) {
	l := from.Ledger
	t.Checked, t.Clients = int64(from.Deliveries.InAll), from.Login.Count
	if from.Requests != nil {
		t.Checked += int64(from.Requests.Heard)
	}
	t.Lost, t.Duplicated, t.Reordered = int64(l.Lost), int64(l.Duplicated), int64(l.Reordered)
	t.Altered, t.OtherOrder = int64(l.Altered), int64(l.OtherOrder)
}

// streams is the histograms of a result that are kept.
func streams(load record.Load, from *loadgen.Result) map[string]*hist.Histogram {
	all := map[string]*hist.Histogram{record.StreamSent: from.FromSend.Histogram, record.StreamLogin: from.Login.Histogram, record.StreamQueue: from.Generator.Queue.Histogram}
	if from.Requests != nil {
		all[record.StreamChat] = from.Requests.Chat.Histogram
	}
	if load.Scenario == record.Idle || load.Open() {
		all[record.StreamLag] = from.Generator.Lag.Histogram
	}
	if load.Open() {
		all[record.StreamDue] = from.FromDue.Histogram
	}
	if from.Elsewhere != nil {
		all[record.StreamElsewhere] = from.Elsewhere.Latency.Histogram
	}
	return all
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
	case record.StreamQueue:
		r.Queue = s
	case record.StreamElsewhere:
		r.Elsewhere = s
	}
}
