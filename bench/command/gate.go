package command

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatbench/bench"
	"chatbench/bench/build"
	"chatbench/bench/live"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/stats"
	"chatbench/core/units"
)

// gateBudget is the budget of a gate in which nothing is worse; gateSeeds is the distance between the
// seeds of the first and the second run, in which each round adds one.
const (
	gateBudget = 3 * time.Minute
	gateSeeds  = 1_000_003
)

// gateFlags are the flags of gate: those of run, and two commits.
type gateFlags struct {
	*runFlags
	baseline, head string
	worse          float64
}

func newGateFlags(env Env) *gateFlags {
	f := &gateFlags{runFlags: newRunFlags(env), worse: stats.Margin}
	f.name("gate", "arm", "with", "chatd", "json", "quick", "full")
	f.set.StringVar(&f.baseline, "baseline", "", "`REV` to compare with, like main or HEAD~1: the gate fails if -head is worse")
	f.set.StringVar(&f.head, "head", "HEAD", "`REV` to judge; changes that are in no commit are not measured")
	f.set.Func("worse", "a figure that is worse for sure, and perhaps by this `SHARE`, fails the gate (5%)", f.setWorse)
	return f
}

func (f *gateFlags) setWorse(text string) error {
	number, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil {
		return fmt.Errorf("write a share as a percentage, like 5%%")
	}
	if f.worse = percent / 100; !(f.worse >= stats.Margin && f.worse <= 1) {
		return fmt.Errorf("give %.0f%%, the limit of a tie, or more, up to 100%%", 100*stats.Margin)
	}
	return nil
}

// complete makes the config of a run.
func (f *gateFlags) complete(args []string) (bench.Config, error) {
	var bad error
	if f.baseline == "" {
		bad = fmt.Errorf("bench gate: give the commit to compare with, like -baseline main or -baseline HEAD~1")
	}
	if bad == nil && f.scenario == record.Idle {
		bad = fmt.Errorf("bench gate: idle is not for a gate; give broadcast or relay")
	}
	if f.backends == "" {
		f.backends = "epoll"
	}
	if f.plan.Budget == 0 && f.plan.Rounds == 0 {
		f.plan.Budget = gateBudget
	}
	cfg, err := f.runFlags.complete(args)
	for i, name := range cfg.Backends {
		if bad == nil && slices.Contains(cfg.Backends[:i], name) {
			bad = fmt.Errorf("bench gate: backend %s is listed twice; list each once", name)
		}
	}
	if err = cmp.Or(bad, err); err != nil {
		return cfg, err
	}
	cfg.Argv[1] = "gate"
	if f.out == "" {
		cfg.Dir = filepath.Join(results, time.Now().UTC().Format("20060102-150405-")+"gate")
	}
	return cfg, nil
}

// gate is the verb: it builds two commits, compares them, and measures a backend again
// if it is worse.
func gate(ctx context.Context, args []string, env Env) int {
	f := newGateFlags(env)
	if status, ok := parse(f.set, "", args, env); !ok {
		return status
	}
	cfg, err := f.complete(args)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	view := live.New(env.Stderr, env.Live)
	trees, err := build.NewWorktrees(f.source)
	if err != nil {
		return failed(env, exitFailed, err)
	}
	g := &gateRun{env: env, view: view, trees: trees, cfg: cfg, gate: report.Gate{Worse: f.worse}}
	err = interrupted(ctx, g.measure(ctx, f.baseline, f.head))
	view.Clear()
	trees.Close()
	if err != nil {
		return failed(env, statusOf(err), err)
	}
	g.gate.Markdown(env.Stdout)
	return map[report.GateVerdict]int{
		report.GateNotWorse: exitOK, report.GateWorse: exitFailed,
		report.GateViolated: exitViolated, report.GateUndecided: exitDisturbed,
	}[g.gate.Verdict()]
}

// gateRun is the state of a gate.
type gateRun struct {
	env   Env
	view  *live.View
	trees *build.Worktrees
	cfg   bench.Config
	gate  report.Gate
	base  string // path of the baseline's chatd
	head  string
	rates []units.Rate // of the run before
}

// measure builds both commits and measures each backend, with a part of the
// budget. A backend with an alarm is measured again, with another seed.
func (g *gateRun) measure(ctx context.Context, baseline, head string) (err error) {
	backends := g.cfg.Backends
	every := len(backends) == 1 && backends[0] == bench.All
	if !every { // otherwise they are known when head is built
		if err := g.absent(backends); err != nil {
			return err
		}
	}
	if g.gate.Baseline, err = g.trees.Commit(ctx, baseline); err != nil {
		return err
	}
	if g.gate.Head, err = g.trees.Commit(ctx, head); err != nil {
		return err
	}
	if g.base, err = g.build(ctx, "baseline", g.gate.Baseline); err != nil {
		return err
	}
	if g.head, err = g.build(ctx, "head", g.gate.Head); err != nil {
		return err
	}
	if every {
		known, err := bench.Backends(ctx, g.head)
		if err != nil {
			return err
		}
		backends = nil
		for _, b := range known {
			backends = append(backends, b.Name)
		}
		if err := g.absent(backends); err != nil {
			return err
		}
	}
	g.cfg.Budget /= time.Duration(len(backends))
	for _, backend := range backends {
		first, again := g.dirs(backend, len(backends))
		if err := g.once(ctx, backend, first, false); err != nil {
			return err
		}
		if g.gate.Alarm(backend) && g.gate.Verdict() != report.GateViolated {
			if err := g.once(ctx, backend, again, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// dirs returns the directories for the runs of a backend, one of so many: the first run, and the one
// that may confirm it.
func (g *gateRun) dirs(backend string, of int) (first, again string) {
	if first = g.cfg.Dir; of > 1 {
		first += "-" + backend
	}
	return first, first + "-again"
}

// absent refuses a gate if one of its directories exists already: otherwise that would be
// noticed only after minutes of measuring.
func (g *gateRun) absent(backends []string) error {
	for _, backend := range backends {
		first, again := g.dirs(backend, len(backends))
		if err := cmp.Or(bench.CheckAbsent(first), bench.CheckAbsent(again)); err != nil {
			return err
		}
	}
	return nil
}

func (g *gateRun) build(ctx context.Context, name, commit string) (path string, err error) {
	g.view.Say(fmt.Sprintf("building %s, commit %.12s", name, commit))
	return g.trees.Build(ctx, name, commit)
}

// once is one run of two builds of a backend.
func (g *gateRun) once(ctx context.Context, backend, dir string, again bool) error {
	cfg := g.config(backend, dir, again)
	g.view.Clear()
	if watch(&cfg, g.view, g.env); !g.env.Live.Moves {
		cfg.Void = nil // the page of the gate mentions them
	}
	run, sums, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	g.rates = openRates(run)
	g.gate.Add(report.Summarize(run, sums), backend, dir, again)
	return nil
}

// config makes the config of a run of two builds of a backend. A run that confirms another one
// has the same load: no pilot may choose another rate.
func (g *gateRun) config(backend, dir string, again bool) bench.Config {
	cfg := g.cfg
	cfg.Backends, cfg.Chatd, cfg.Dir = nil, g.base, dir
	cfg.Arms = []string{"baseline=" + backend, "head=" + g.head + ":" + backend}
	if again {
		cfg.Seed += gateSeeds
		cfg.Rates, cfg.Pilot = g.rates, false
	}
	return cfg
}

// openRates returns the rates of a run's open loops.
func openRates(run *record.Run) (rates []units.Rate) {
	for _, l := range run.Manifest.Loads {
		if l.Open() {
			rates = append(rates, units.Rate(l.Rate))
		}
	}
	return rates
}
