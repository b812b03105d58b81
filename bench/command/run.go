package command

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatbench/bench"
	"chatbench/bench/build"
	"chatbench/bench/live"
	"chatbench/bench/machine"
	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/core/units"
)

// results is the directory of all runs.
const results = "results"

// runFlags are the flags of run.
type runFlags struct {
	set      *flag.FlagSet
	plan     bench.Plan
	backends string
	scenario string
	arrivals string
	out      string
	quick    bool
	full     bool
	asJSON   bool
	with     []build.Replacement
	source   string
	config   bench.Config
}

func newRunFlags(env Env) *runFlags {
	f := &runFlags{set: flag.NewFlagSet("run", flag.ContinueOnError), plan: bench.Quick(record.Broadcast, nil)}
	fs, p, c := f.set, &f.plan, &f.config
	fs.StringVar(&f.backends, "backends", "", "`NAMES` to measure, like epoll,goroutine or all, each maybe with flags of chatd, process@spawn-ahead=64, or with clients that speak TLS, epoll@tls; see bench list")
	fs.Func("arm", "one more arm, `NAME=[CHATD:]BACKEND[@tls][@FLAG=VALUE…]`, maybe of a chatd of its own, like old=/tmp/old/chatd:epoll; may be given again", func(text string) error {
		p.Arms = append(p.Arms, text)
		return nil
	})
	fs.Func("with", "build chatd here twice, once with a module replaced, `MODULE=PATH` or MODULE=@VERSION, and give each backend an arm NAME+ of that build; may be given again for more modules", func(text string) error {
		r, err := build.ParseReplacement(text)
		f.with = append(f.with, r)
		return err
	})
	fs.StringVar(&f.source, "source", ".", "`DIR` in the source tree of chatd, where servers are built")
	fs.StringVar(&f.scenario, "scenario", record.Broadcast, "what clients do, by `NAME`: "+strings.Join(bench.Scenarios, ", "))
	fs.BoolVar(&f.quick, "quick", false, "the plan of a minute for one backend, which is the default")
	fs.BoolVar(&f.full, "full", false, "the plan for results that you keep: 20 rounds of 5s, with -whole after 2s of warm-up")
	fs.IntVar(&p.Rounds, "rounds", 0, "`N` rounds of every backend under every load (0: as many as it takes to decide, looking after 8, 12, 16, 24, 32 and 48; scale: 12; idle: as few as can decide)")
	fs.DurationVar(&p.Budget, "budget", 0, "broadcast and relay without -rounds: `TIME` after which the run ends, even if it is undecided (2m for two arms, 10m for twelve or more; gate: 3m)")
	fs.DurationVar(&p.Duration, "duration", p.Duration, "measured `TIME` of each backend in each round (with -whole 1.2s)")
	fs.DurationVar(&p.Slice, "slice", p.Slice, "the backends of a round take turns: measured `TIME` of a turn")
	fs.DurationVar(&p.LeadIn, "lead-in", p.LeadIn, "`TIME` of load before each slice, which is not counted")
	fs.BoolVar(&p.Whole, "whole", false, "no turns: each backend is measured in one piece, one after the other")
	fs.DurationVar(&p.Warmup, "warmup", p.Warmup, "with -whole: `TIME` of load before it")
	fs.Uint64Var(&p.Seed, "seed", p.Seed, "`NUMBER` from which the order of measurements and random arrivals are computed")
	fs.IntVar(&p.Clients, "clients", p.Clients, "`N` clients, each of which receives everything; idle: 8000")
	fs.IntVar(&p.Heavy, "heavy-clients", 500, "idle: `N` clients at most for a backend that has a thread or a process for each client; the others have -clients")
	fs.DurationVar(&p.Ramp, "ramp", 4*time.Second, "idle: `TIME` over which clients connect, at equal distances")
	fs.IntVar(&p.Senders, "senders", p.Senders, "broadcast: `N` of them send")
	fs.IntVar(&p.Pairs, "pairs", 100, "relay: `N` clients ask, each another one that answers")
	fs.IntVar(&p.Files, "files", 5, "relay: `N` files in each list")
	fs.IntVar(&p.Downloads, "downloads", 16, "relay: one request in `N` is for a file, 0: none")
	fs.Func("chat-rate", "relay: chat messages of ten more clients at the same time, in all, `RATE` or none (50/s)", f.setChatRate)
	fs.Var(&p.Size, "size", "`SIZE` of a text, like 64B; relay: of a file's name (32B)")
	fs.Func("rate", "open loop at `RATES` in all, like 1000/s or 1000/s,5000/s; none for no open loop (chosen in the first second: the reference server uses 20 to 35 % of its CPU, and all arms have it; relay: 1000/s)", f.setRates)
	fs.StringVar(&f.arrivals, "arrivals", "fixed", "of an open loop, `fixed|poisson`")
	fs.Func("window", "closed loop with `NUMBERS` of messages under way for each sender, like 128; none for no closed loop (128; relay: 16)", f.setWindows)
	fs.Func("server-cpus", "`CPUS` of the server, like 0 or 0,2-3 (one, chosen automatically)", cpus(&c.ServerCPUs))
	fs.Func("cpus", "scale: `NUMBERS` of CPUs of the server, like 1,2,4; elsewhere give one backend a number of its own, reactors@cpus=2 (1, 2, 4 and so on, and all but the generator's)", f.setCPUCounts)
	fs.Func("generator-cpus", "`CPUS` of the generator, like 1 or 8-15: under a broadcast a thread on each, with its share of the clients (another one, chosen automatically)", cpus(&c.GeneratorCPUs))
	fs.Func("agents", "`N|NAMES` of agents that drive the load instead of this machine, like 2 or alpha,beta: run loadgen agent -join there; with -whole", f.setAgents)
	fs.StringVar(&c.AgentsListen, "agents-listen", "", "`HOST:PORT` that agents join (:7420); anybody who reaches it can join")
	fs.BoolVar(&c.Syscalls, "syscalls", true, "count system calls; counting_ns_per_syscall in env.json is what that adds to each")
	fs.Float64Var(&c.ForeignMax, "foreign-max", 0, "a round in which other processes used a larger `SHARE` of the server's CPUs is void; 1: no round is (0.75; with -whole 0.25)")
	fs.StringVar(&c.Chatd, "chatd", filepath.Join(env.Bin, "chatd"), "`PATH` of the server")
	fs.StringVar(&c.Loadgen, "loadgen", filepath.Join(env.Bin, "loadgen"), "`PATH` of the load generator, for its null server")
	fs.StringVar(&f.out, "o", "", "`DIR` for the results, which must not exist yet (results/TIME-SCENARIO-BACKENDS; of a gate results/TIME-gate)")
	fs.BoolVar(&f.asJSON, "json", false, "print the summary as JSON")
	return f
}

// name makes them the flags of another verb, which does not take those in without.
func (f *runFlags) name(verb string, without ...string) {
	all := f.set
	f.set = flag.NewFlagSet(verb, flag.ContinueOnError)
	all.VisitAll(func(one *flag.Flag) {
		if !slices.Contains(without, one.Name) {
			f.set.Var(one.Value, one.Name, one.Usage)
		}
	})
}

func (f *runFlags) setChatRate(text string) (err error) {
	f.plan.ChatRate = 0
	if text != "none" {
		f.plan.ChatRate, err = units.ParseRate(text)
	}
	return err
}

func (f *runFlags) setAgents(text string) error {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 1000 {
			return fmt.Errorf("%d agents; give 1 to 1000", n)
		}
		f.config.Agents = make([]string, n)
		return nil
	}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return fmt.Errorf("agents are a number or names, like 2 or alpha,beta, not %q", text)
		}
		f.config.Agents = append(f.config.Agents, name)
	}
	return nil
}

// setRates and setWindows replace the default of their flag when it is given.
func (f *runFlags) setRates(text string) error {
	f.plan.Rates, f.plan.Pilot = nil, false
	return each(text, func(one string) error {
		r, err := units.ParseRate(one)
		f.plan.Rates = append(f.plan.Rates, r)
		return err
	})
}

func (f *runFlags) setWindows(text string) error {
	f.plan.Windows = nil
	return each(text, func(one string) error {
		n, err := strconv.Atoi(one)
		if err != nil {
			err = fmt.Errorf("%q is not a number of messages", one)
		}
		f.plan.Windows = append(f.plan.Windows, n)
		return err
	})
}

// each calls do for each item of a list; the list "none" has no items.
func each(list string, do func(string) error) error {
	if list == "none" {
		return nil
	}
	for one := range strings.SplitSeq(list, ",") {
		if err := do(strings.TrimSpace(one)); err != nil {
			return err
		}
	}
	return nil
}

func (f *runFlags) setCPUCounts(text string) error {
	return each(text, func(one string) error {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of CPUs", one)
		}
		f.plan.CPUCounts = append(f.plan.CPUCounts, n)
		return nil
	})
}

func cpus(into *[]int) func(string) error {
	return func(text string) (err error) {
		*into, err = machine.ParseCPUs(text)
		return err
	}
}

// complete makes a config of the flags.
func (f *runFlags) complete(args []string) (bench.Config, error) {
	wrong := func(format string, args ...any) (bench.Config, error) {
		return bench.Config{}, fmt.Errorf("bench "+f.set.Name()+": "+format, args...)
	}
	if !slices.Contains(bench.Scenarios, f.scenario) {
		return wrong("there is no scenario %q; there are %s", f.scenario, strings.Join(bench.Scenarios, ", "))
	}
	if f.quick && f.full {
		return wrong("-quick and -full are two plans; give one of them")
	}
	if f.arrivals != "fixed" && f.arrivals != "poisson" {
		return wrong("-arrivals is %q; give fixed or poisson", f.arrivals)
	}
	if !(f.config.ForeignMax >= 0 && f.config.ForeignMax <= 1) {
		return wrong("-foreign-max is %v; give a share above 0 and up to 1", f.config.ForeignMax)
	}
	if err := f.fill(); err != nil {
		return wrong("%v", err)
	}
	f.plan.Poisson = f.arrivals == "poisson"
	for name := range strings.FieldsFuncSeq(f.backends, func(r rune) bool { return r == ',' || r == ' ' }) {
		f.plan.Backends = append(f.plan.Backends, name)
	}
	c := f.config
	c.Plan, c.Argv, c.Dir = f.plan, append([]string{"bench", "run"}, args...), f.out
	if c.Dir == "" {
		c.Dir = filepath.Join(results, time.Now().UTC().Format("20060102-150405-")+f.scenario+"-"+strings.Join(c.Names(), "+"))
	}
	return c, nil
}

// fill sets the flags that were not given to the values of the scenario's plan, quick or
// full.
func (f *runFlags) fill() error {
	typed := make(map[string]bool)
	f.set.Visit(func(one *flag.Flag) { typed[one.Name] = true })
	if f.with != nil && typed["chatd"] {
		return fmt.Errorf("-with builds both servers; leave -chatd out")
	}
	if f.with != nil && strings.Trim(f.backends, ", ") == "" {
		return fmt.Errorf("-with needs the backend to compare with itself, like -backends gnet")
	}
	for name, scenarios := range flagsOf {
		if typed[name] && !slices.Contains(scenarios, f.scenario) {
			return fmt.Errorf("-%s is a flag of %s, not of %s", name, strings.Join(scenarios, " and "), f.scenario)
		}
	}
	switch sliced := !f.plan.Whole && f.scenario != record.Idle; {
	case sliced && typed["warmup"]:
		return fmt.Errorf("-warmup is a flag of -whole and of idle; slices have a -lead-in")
	case !sliced && (typed["slice"] || typed["lead-in"]):
		return fmt.Errorf("there are no slices with -whole and under idle; leave -slice and -lead-in out")
	}
	p, plan := &f.plan, bench.Quick(f.scenario, nil)
	if f.full {
		plan = bench.Full(f.scenario, nil)
	}
	if p.Whole && !f.full && f.scenario != record.Idle {
		plan.Duration = bench.Piece
	}
	for name, take := range map[string]func(){
		"duration":      func() { p.Duration = plan.Duration },
		"warmup":        func() { p.Warmup = plan.Warmup },
		"clients":       func() { p.Clients = plan.Clients },
		"heavy-clients": func() { p.Heavy = plan.Heavy },
		"ramp":          func() { p.Ramp = plan.Ramp },
		"senders":       func() { p.Senders = plan.Senders },
		"pairs":         func() { p.Pairs = plan.Pairs },
		"files":         func() { p.Files = plan.Files },
		"downloads":     func() { p.Downloads = plan.Downloads },
		"chat-rate":     func() { p.ChatRate = plan.ChatRate },
		"size":          func() { p.Size = plan.Size },
		"rate":          func() { p.Rates, p.Pilot = plan.Rates, plan.Pilot },
		"window":        func() { p.Windows = plan.Windows },
	} {
		if !typed[name] {
			take()
		}
	}
	if p.Scenario = plan.Scenario; p.Scenario == record.Relay && p.ChatRate == 0 {
		p.Senders = 0
	}
	if f.full && p.Rounds == 0 {
		p.Rounds = 20
	}
	return nil
}

// flagsOf are the flags that only some scenarios have.
var flagsOf = map[string][]string{
	"clients": {record.Broadcast, record.Idle, record.Scale}, "senders": {record.Broadcast, record.Scale}, "size": {record.Broadcast, record.Relay, record.Scale},
	"rate": {record.Broadcast, record.Relay}, "window": {record.Broadcast, record.Relay, record.Scale}, "arrivals": {record.Broadcast, record.Relay},
	"cpus":          {record.Scale},
	"heavy-clients": {record.Idle}, "ramp": {record.Idle},
	"pairs": {record.Relay}, "files": {record.Relay}, "downloads": {record.Relay}, "chat-rate": {record.Relay},
}

// run is the verb: it measures, writes the results, and prints them.
func run(ctx context.Context, args []string, env Env) int {
	f := newRunFlags(env)
	if status, ok := parse(f.set, "", args, env); !ok {
		return status
	}
	cfg, err := f.complete(args)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	view := live.New(env.Stderr, env.Live)
	watch(&cfg, view, env)
	finished, sums, err := f.measure(ctx, cfg, view)
	view.Clear()
	if err != nil {
		return failed(env, statusOf(err), err)
	}
	return printSummary(report.Summarize(finished, sums), cfg.Dir, f.asJSON, env)
}

// watch shows a run while it is measured.
func watch(cfg *bench.Config, view *live.View, env Env) {
	if env.Live.Moves {
		cfg.Progress = view.Progress
	}
	cfg.Look = view.Look
	cfg.Void = view.Void
	cfg.LeftOut = view.LeftOut
	cfg.Log = func(line string) { fmt.Fprintln(env.Stderr, "bench: "+line) }
}

// measure builds the servers if necessary, and measures.
func (f *runFlags) measure(ctx context.Context, cfg bench.Config, view *live.View) (*record.Run, map[string]string, error) {
	if f.with == nil {
		return bench.Run(ctx, cfg)
	}
	modules, err := build.NewModules(ctx, f.source)
	if err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	defer modules.Close()
	cfg.Source = modules.Root()
	view.Say("building chatd")
	if cfg.Chatd, err = modules.Build(ctx, "own", nil); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	view.Say("building chatd with what replaces its modules")
	if cfg.Plus, err = modules.Build(ctx, "with", f.with); err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	return bench.Run(ctx, cfg)
}

// printSummary prints a run, and returns the exit status for it.
func printSummary(s *report.Summary, dir string, asJSON bool, env Env) int {
	if asJSON {
		if err := printJSON(env, s); err != nil {
			return failed(env, exitFailed, err)
		}
	} else {
		s.Text(env.Stdout, env.Style, dir)
	}
	return statusOfRun(s)
}

// statusOfRun is the exit status of a run.
func statusOfRun(s *report.Summary) int {
	switch {
	case s.Violated():
		return exitViolated
	case s.Disturbed():
		return exitDisturbed
	}
	return exitOK
}

func printJSON(env Env, v any) error {
	text, err := record.JSON(v)
	if err != nil {
		return err
	}
	_, err = env.Stdout.Write(text)
	return err
}
