// Package bench measures backends against one another: a fresh chatd for every
// backend, load and round, on CPUs of its own, under the same load from the
// same generator, with the reference backend measured twice. All servers of a
// round are alive and take turns of 20 ms in random order, all but one of them
// frozen; or, if the plan says so, they are measured one after the other.
// There are as many rounds as needed to decide, within a budget, or as many
// as the plan says.
//
// It does not know what a backend is: chatd is started as a user would start it, by
// name, and measured from outside. It prints nothing, keeps nothing of an
// interrupted run, and never drops a round: a round that does not count says why.
// Run may be called from any goroutine, once at a time in a process. It pins the
// threads of the process while it runs.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/machine"
	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/server"
	"chatbench/bench/stats"
	"chatbench/loadgen/agents"
)

// Config is a plan and where to carry it out.
type Config struct {
	Plan
	Chatd         string // path of the server
	Loadgen       string // path of the generator, for its null server
	Source        string // directory that Chatd and Plus were built from, if they are somewhere else
	Dir           string // of the results; must not exist yet
	Argv          []string
	ServerCPUs    []int // none: one, chosen
	GeneratorCPUs []int // none: one, chosen; under a broadcast load the generator has a thread on each
	// Agents are the names of agents that drive the load together, "" for any name. If there are
	// none, this process drives it. AgentsListen is where they join, HOST:PORT; "": port 7420 of all addresses.
	Agents       []string
	AgentsListen string
	Syscalls     bool // count them
	// ForeignMax, if above 0, replaces the rule of that name.
	ForeignMax float64
	// Progress, if set, is called for each cell, and now and then within one.
	Progress func(Progress)
	// Look, if set, is called after each round with the state of the run, while nothing
	// is measured.
	Look func(Look)
	// Void, if set, is called for each round that does not count, as it happens.
	Void func(record.Round)
	// Log, if set, is called with each thing that happens before the first round, as one line.
	Log func(string)
	// LeftOut, if set, is called for each backend that All leaves out because it cannot run on
	// this machine.
	LeftOut func(Backend)
}

// Progress is where a run is.
type Progress struct {
	record.Cell
	Rounds int           // 0: as many as it takes
	Left   time.Duration // of the whole run, estimated; of its budget, where there is one
	Rate   float64       // deliveries a second just now; 0 between loads
}

// ErrInterrupted is returned by Run when its context ended first.
var ErrInterrupted = errors.New("bench: interrupted; nothing was written")

// bench is one run.
type bench struct {
	cfg       Config
	run       *record.Run
	agents    *agents.Coordinator         // nil: this process drives the load
	identity  *identity                   // of servers that speak TLS; nil: there are none
	launch    map[string]*server.Launcher // by arm: servers that are alive at the same time need separate launchers
	taskTime  *meter.TaskTime             // on the servers' CPUs
	limits    meter.Limits                // that hold for bench and its servers
	loads     map[string]record.Load
	arms      map[string]record.Arm
	measures  func(context.Context, []record.Cell) ([]record.Round, error) // measures cells that belong together
	plan      []record.Cell                                                // what is to be measured, at most
	decided   map[string][]string                                          // by load, the arms that need no more rounds
	begun     time.Time
	done      int           // cells
	took      time.Duration // from the start to the end of the latest of these
	lastRound time.Duration // how long the last round took
}

// Run measures, and leaves the results in cfg.Dir: all of them or nothing.
func Run(ctx context.Context, cfg Config) (*record.Run, map[string]string, error) {
	if err := cmp.Or(cfg.check(), cfg.checkAgents()); err != nil {
		return nil, nil, err
	}
	known := backends(ctx, cfg.Chatd)
	own, err := known("")
	if err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	allowed, err := machine.Allowed()
	if err != nil {
		return nil, nil, err
	}
	if err := cfg.settleCPUCounts(allowed); err != nil {
		return nil, nil, err
	}
	for _, b := range cfg.expandAll(own) {
		if cfg.LeftOut != nil {
			cfg.LeftOut(b)
		}
	}
	arms, err := cfg.arms(known)
	if err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	if _, err := os.Stat(cfg.Loadgen); err != nil && len(cfg.Windows) > 0 {
		return nil, nil, fmt.Errorf("bench: no load generator at %s; build it with make", cfg.Loadgen)
	}
	staging, err := newStagingDirectory(cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer staging.discard()
	defer machine.PinProcess(allowed)
	b, err := prepare(cfg, arms, allowed)
	if err != nil {
		return nil, nil, err
	}
	defer b.close()
	if err := b.gather(ctx); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	if err := b.price(ctx); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	b.taskTime, b.limits = meter.OpenTaskTime(b.run.Manifest.ServersCPUs()), meter.FindLimits("/")
	if err := b.pilot(ctx); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	b.planRounds()
	if err := b.measureAll(ctx); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	b.mark()
	b.run.Manifest.Finished = time.Now().Round(0)
	b.run.Env.StealAfter = machine.StealTicks()
	raw, err := b.run.Encode()
	if err != nil {
		return nil, nil, err
	}
	sums := record.Sums(raw)
	derived, err := report.Files(b.run, sums)
	if err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, ErrInterrupted
	}
	return b.run, sums, staging.commit(raw, derived)
}

// interrupted returns ErrInterrupted for an error of a run whose context has ended.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return err
}

// prepare chooses the CPUs, keeps this process off the server's CPUs, and
// records what is known before the first round.
func prepare(cfg Config, arms []record.Arm, allowed []int) (*bench, error) {
	m := record.Manifest{
		Schema: record.Schema, Name: filepath.Base(cfg.Dir),
		Started: time.Now().Round(0), Argv: cfg.Argv,
		Seed: cfg.Seed, Reference: cfg.reference(), Arms: arms, Rounds: cfg.Rounds,
		Rules: cfg.rules(), Servers: make(map[string]map[string]any), Measures: make(map[string]string),
	}
	var err error
	if m.Binaries, err = binaries(cfg, arms); err != nil {
		return nil, err
	}
	m.Commit, m.Dirty = commit(cmp.Or(cfg.Source, filepath.Dir(cfg.Chatd)), "--untracked-files=no")
	b := &bench{
		cfg: cfg, begun: time.Now(),
		run:     &record.Run{Manifest: m, Env: machine.Env(), Histograms: make(map[record.Key]*hdrhistogram.Histogram)},
		loads:   make(map[string]record.Load),
		arms:    map[string]record.Arm{record.NullArm: {Name: record.NullArm, Backend: record.NullArm}},
		launch:  make(map[string]*server.Launcher),
		decided: make(map[string][]string),
	}
	if cfg.looks() {
		b.run.Manifest.Looks, b.run.Manifest.Budget = stats.Looks, cfg.Budget
	}
	b.measures = b.measure
	for _, a := range m.Arms {
		b.arms[a.Name] = a
	}
	if err := b.chooseCPUs(allowed); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(arms, func(a record.Arm) bool { return a.TLS }) {
		if b.identity, err = newIdentity(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// planRounds fixes the loads, whose rates are known by now, and the order of all cells.
func (b *bench) planRounds() {
	m := &b.run.Manifest
	m.Loads = b.cfg.loads()
	for _, l := range m.Loads {
		b.loads[l.Name] = l
		m.GeneratorThreads = b.threads(l) // the same for all: they are of one scenario
	}
	for _, a := range m.Agents {
		m.GeneratorThreads += a.Threads
	}
	b.plan = slices.DeleteFunc(order(m.Arms, m.Loads, b.cfg.mostRounds(), m.Seed), func(c record.Cell) bool {
		several := len(b.cfg.Agents) > 0 || b.threads(b.loads[c.Load]) > 1
		return c.Arm == record.NullArm && several // it has one thread, and would be the limit itself
	})
}

// launcher returns the launcher of an arm.
func (b *bench) launcher(arm string) (l *server.Launcher, err error) {
	if l = b.launch[arm]; l == nil {
		if l, err = server.NewLauncher(b.run.Manifest.CPUsOf(arm)); err == nil {
			b.launch[arm] = l
		}
	}
	return l, err
}

// close ends all launchers, and with them every server that still runs, ends the
// counting, and removes the certificate.
func (b *bench) close() {
	for _, l := range b.launch {
		l.Close()
	}
	if b.taskTime != nil {
		b.taskTime.Close()
	}
	if b.identity != nil {
		b.identity.remove()
	}
	if b.agents != nil {
		b.agents.Close()
	}
}

// chooseCPUs chooses the CPUs of server and generator, and keeps this process's other
// threads off the server's CPUs.
func (b *bench) chooseCPUs(allowed []int) error {
	m := &b.run.Manifest
	m.ServerCPUs, m.GeneratorCPUs = b.cfg.splitCPUs(allowed)
	switch {
	case len(b.cfg.Agents) > 0: // agents have their own CPUs
		m.GeneratorCPUs = nil
	case b.cfg.Scenario == record.Scale:
		m.ServerCPUs = b.cfg.order[:1] // for the null server: the arms have their own
	}
	servers := m.ServersCPUs()
	rest := slices.DeleteFunc(slices.Clone(allowed), func(c int) bool {
		return slices.Contains(servers, c) || slices.Contains(m.GeneratorCPUs, c)
	})
	if len(rest) == 0 {
		rest = m.GeneratorCPUs
	}
	if len(rest) == 0 {
		rest = servers
	}
	for _, c := range append(servers, m.GeneratorCPUs...) {
		if !slices.Contains(allowed, c) {
			return fmt.Errorf("%w: CPU %d is not among those allowed here, %s", ErrPlan, c, machine.FormatCPUs(allowed))
		}
	}
	m.SharedCPU = slices.ContainsFunc(m.ServerCPUs, func(c int) bool { return slices.Contains(m.GeneratorCPUs, c) })
	switch {
	case m.SharedCPU: // the generator is the other
		m.Rules.ForeignMax, m.Rules.ExcuseMax, m.Rules.GeneratorMax = 1, 0, 0
	case b.cfg.ForeignMax > 0:
		m.Rules.ForeignMax = b.cfg.ForeignMax
	}
	return machine.PinProcess(rest)
}

// progress estimates the remaining time from the cells so far, or, before
// the first cell is done, from the plan.
func (b *bench) progress(cell record.Cell, rate float64) {
	if b.cfg.Progress == nil {
		return
	}
	l := b.loads[cell.Load]
	each := l.Ramp + (l.Warmup+l.Duration)*time.Duration(max(l.Slices, 1)) + 200*time.Millisecond
	if b.done > 0 {
		each = b.took / time.Duration(b.done)
	}
	whole := time.Duration(len(b.plan)) * each
	if b.cfg.looks() {
		whole = b.cfg.Budget
	}
	b.cfg.Progress(Progress{Cell: cell, Rounds: b.cfg.Rounds, Left: max(0, whole-time.Since(b.begun)), Rate: rate})
}
