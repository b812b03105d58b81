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

// goneLimit is how long to wait for the end of a server that cut its clients off, before
// its end is ruled out as the reason.
const goneLimit = 5 * time.Second

// firstPart: one client in this number of an idle load logs in before memory is
// measured the first time. The memory of a client is the slope between that and all
// clients; what a server allocates once, for its first clients, is in neither.
const firstPart = 4

// measure runs the cells of a round that belong together, each against a fresh
// server. An error ends the whole run: it was interrupted, or something that fails in
// the first round would always fail. Everything else is in the records.
func (b *bench) measure(ctx context.Context, cells []record.Cell) (rounds []record.Round, err error) {
	load := b.loads[cells[0].Load]
	var failures []error
	if load.Sliced() {
		rounds, failures, err = b.inTurns(ctx, load, cells)
	} else {
		r := b.newRound(0, cells[0])
		failures = []error{b.runLoad(ctx, &r, b.arms[r.Arm], load)}
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

// newRound returns the record of a cell in which nothing has been measured yet.
func (b *bench) newRound(i int, cell record.Cell) record.Round {
	return record.Round{
		Schema: record.Schema, Seq: len(b.run.Rounds) + i + 1, Round: cell.Round, Load: cell.Load, Arm: cell.Arm,
		Backend: b.arms[cell.Arm].Backend, StartedMs: time.Now().UnixMilli(),
	}
}

// judge decides whether a round counts. err is the error with which it ended, or nil.
func (b *bench) judge(r *record.Round, load record.Load, err error) error {
	switch {
	case err == nil:
	case wrongSetup(err) && !(b.agents != nil && slices.ContainsFunc(b.run.Rounds, func(r record.Round) bool { return r.Counts() })):
		return err
	default:
		reason := reasonOf(err)
		if load.Scenario == record.Idle && (errors.Is(err, loadgen.ErrDenied) || errors.Is(err, loadgen.ErrUnreachable)) {
			reason = record.Disconnected // logins are what is measured
		}
		r.Error, r.Void = err.Error(), append(r.Void, reason)
		if r.Round <= 1 && r.Void[0] == record.NotStarted {
			return fmt.Errorf("bench: %s: %w", r.Arm, err)
		}
	}
	r.Void, r.Marks = rules.Judge(*r, load, b.run.Manifest.RulesOf(r.Arm), 0) // mark judges again, by the ceiling
	if r.Arm == record.NullArm {
		broken := r.Error != "" && r.Round <= 1 && !slices.Contains(r.Void, record.Starved)
		if broken || r.Error == "" && slices.ContainsFunc(r.Void, isBreach) {
			return fmt.Errorf("bench: the load generator failed against its own null server, so no figure could be trusted; "+
				"try again when less else runs on this machine, and without a CPU limit (%s: %s)", r.Load, cmp.Or(r.Error, fmt.Sprint(r.Void)))
		}
	}
	return nil
}

// wrongSetup says whether a load was refused because of its plan or the limits of the process that drives it. If
// agents have driven a load before, the fault is that of an agent that joined later.
func wrongSetup(err error) bool {
	return errors.Is(err, loadgen.ErrConfig) || errors.Is(err, loadgen.ErrFileLimit)
}

// mark judges all rounds again when everything is measured: a rate is compared
// with all that is known of the ceiling, whenever that was measured.
func (b *bench) mark() {
	for i := range b.run.Rounds {
		r := &b.run.Rounds[i]
		r.Void, r.Marks = rules.Judge(*r, b.loads[r.Load], b.run.Manifest.RulesOf(r.Arm), report.CeilingOf(b.run, r.Load, r.Arm))
	}
}

// isBreach says whether the null server must never fail for a reason: it may be slow,
// but any other failure is the generator's.
func isBreach(r record.Reason) bool { return r.Violation() && r != record.TargetMissed }

// reasonOf classifies an error.
func reasonOf(err error) record.Reason {
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

// notStarted is the error of a server that did not start.
type notStarted struct{ error }

func (n notStarted) Unwrap() error { return n.error }

// runLoad starts the server, puts the load on it, and reads its counters at its end.
func (b *bench) runLoad(ctx context.Context, r *record.Round, arm record.Arm, load record.Load) error {
	if err := b.gatherReplacements(ctx, r); err != nil {
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
		ServerCPUs: b.run.Manifest.CPUsOf(arm.Name), OtherCPUs: b.run.Manifest.GeneratorCPUs, TaskTime: b.taskTime, Limits: b.limits,
	}
	b.recordServer(r, p)
	cfg := b.loadConfig(p.Addr, r, arm, load)
	cfg.Starved = func() bool { return meter.Starved(p.PID) }
	before := m.ReadAll()
	var from, to, after meter.Sample
	var base, first, held record.Usage
	m.ReadMemory(&base)
	cfg.OnTimedStart = func() { from = m.ReadCounters() }
	cfg.OnTimedEnd = func() { to = m.ReadCounters() }
	cfg.OnFirst = func() { m.ReadMemory(&first) }
	cfg.OnQuiet = func() { after = m.ReadAll(); m.ReadMemory(&held) }
	runtime.GC() // here and not in the timed section
	result, err := b.drive(ctx, cfg)
	if err != nil {
		after = m.ReadAll()
		recordTaken(r, m.Between(before, after, before, after))
		return b.explain(ctx, p, err)
	}
	r.StartedMs, r.Wall = from.At.UnixMilli(), load.Duration
	b.recordResult(r, load, result)
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
	args := append(chatdArguments(arm), b.listenArguments()...)
	if arm.TLS {
		args = append(args, b.identity.arguments()...)
	}
	return l.Start(ctx, b.cfg.Syscalls, cmp.Or(arm.Chatd, b.cfg.Chatd), args...)
}

// recordServer records what the server said of itself and how it is measured.
func (b *bench) recordServer(r *record.Round, p *server.Process) {
	m := &b.run.Manifest
	if m.Measures["cpu"] == "" {
		maps.Copy(m.Measures, p.Counters.Notes())
		m.Measures["others"] = b.taskTime.Note()
		if b.loads[r.Load].Scenario == record.Idle {
			m.Measures["memory a client"] = "the slope between two numbers of clients: what is held with all of them less what is held with the first part, by the clients in between"
		}
		if b.loads[r.Load].Sliced() {
			m.Measures["socket memory"] = "absent: in slices all servers are there at once"
			m.Measures["memory"] += "; the program's own pages are shared by the servers of all arms, so PSS has only a part of them"
		}
	}
	if r.Arm != record.NullArm {
		m.Servers[r.Arm] = p.Listening
	}
}

// loadConfig converts a load to the generator's Config for one round. All arms of a round have
// the same arrivals.
func (b *bench) loadConfig(addr string, r *record.Round, arm record.Arm, load record.Load) loadgen.Config {
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
	if !load.Sliced() { // slices begin anywhere between two ticks
		cfg.Rate = offsetRate(cfg.Rate, cfg.Warmup+cfg.Duration)
	}
	if b.cfg.Progress != nil {
		cell := record.Cell{Round: r.Round, Load: r.Load, Arm: r.Arm}
		cfg.Progress = func(p loadgen.Progress) { b.progress(cell, p.PerSecond) }
	}
	return cfg
}

// threads is how many threads the generator has under a load: for chat one on each of its CPUs,
// otherwise one on all of them. With agents it has none.
func (b *bench) threads(load record.Load) int {
	if len(b.cfg.Agents) > 0 {
		return 0
	}
	if load.Scenario != record.Broadcast {
		return 1
	}
	return max(1, len(b.run.Manifest.GeneratorCPUs))
}

// offsetRate adds one message to a whole round of at least a hundred. The kernel splits
// CPU time into user and kernel by its ticks; at a round rate each tick would see the same
// moment of a message, always busy or always idle. With one message more the schedule moves
// past the ticks by one distance in a round.
func offsetRate(rate units.Rate, round time.Duration) units.Rate {
	if one := units.Rate(1 / round.Seconds()); rate >= 100*one {
		return rate + one
	}
	return rate
}

// explain returns the reason why the load broke off: if the server is gone, that is why its clients
// lost their connections.
func (b *bench) explain(ctx context.Context, p *server.Process, err error) error {
	if errors.Is(err, loadgen.ErrDisconnected) && ctx.Err() == nil {
		select {
		case <-p.Done():
			return p.Died()
		case <-time.After(goneLimit):
		}
	}
	return err
}

// recordTaken records what of the CPUs others used, or a limit kept from everybody: it may be why a
// server did not keep up.
func recordTaken(r *record.Round, u record.Usage) {
	r.Usage.Foreign, r.Usage.Uncharged, r.Usage.Steal, r.Usage.Throttled = u.Foreign, u.Uncharged, u.Steal, u.Throttled
}

// recordResult copies what the generator measured.
func (b *bench) recordResult(r *record.Round, load record.Load, from *loadgen.Result) {
	recordLedger(&r.Traffic, from)
	b.recordTLS(from)
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
		b.recordHistogram(r, stream, h)
	}
}

// recordTLS records what clients and server of a TLS arm negotiated. It is the same for
// all: there is one generator, and all servers have the same certificate.
func (b *bench) recordTLS(from *loadgen.Result) {
	if t := from.TLS; t != nil && b.run.Manifest.Measures["tls"] == "" {
		b.run.Manifest.Measures["tls"] = fmt.Sprintf("%s, %s, key exchange %s, the server's own certificate of ECDSA P-256; "+
			"the generator's part is in latencies and in its own use, never in the server's", t.Version, t.CipherSuite, t.KeyExchange)
	}
}

// recordLedger copies the ledger, which covers everything since the login.
func recordLedger(t *record.Traffic, from *loadgen.Result) {
	l := from.Ledger
	t.Checked, t.Clients = int64(from.Deliveries.InAll), from.Login.Count
	if from.Requests != nil {
		t.Checked += int64(from.Requests.Heard)
	}
	t.Lost, t.Duplicated, t.Reordered = int64(l.Lost), int64(l.Duplicated), int64(l.Reordered)
	t.Altered, t.OtherOrder = int64(l.Altered), int64(l.OtherOrder)
}

// streams returns the histograms of a result that are kept.
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

// recordHistogram stores a histogram under the round's start and puts its summary into
// the record.
func (b *bench) recordHistogram(r *record.Round, stream string, from *hist.Histogram) {
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
