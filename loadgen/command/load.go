package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"chatbench/core/units"
	"chatbench/internal/tlsflags"
	"chatbench/loadgen"
)

// load is a verb that runs one load and prints one table.
type load struct {
	*flag.FlagSet
	cfg      loadgen.Config
	tls      tlsflags.Flags
	cpu      cpus
	limit    ceiling
	arrivals string
	asJSON   bool
}

// newLoad makes a verb with the flags that all loads share.
func newLoad(scenario string) *load {
	l := &load{FlagSet: flag.NewFlagSet(scenario, flag.ContinueOnError), cfg: loadgen.Config{Scenario: scenario}, arrivals: "fixed"}
	c := &l.cfg
	l.StringVar(&c.Server, "server", "127.0.0.1:9000", "the server, `HOST:PORT`; run chatd with -flood off, or you measure its flood control")
	l.tls.Define(l.FlagSet)
	l.DurationVar(&c.Duration, "duration", 5*time.Second, "length of the timed section")
	l.Var(&l.cpu, "cpu", "`CPU` or CPUs that the generator is pinned to, like 1 (none: not pinned)")
	l.DurationVar(&c.Connect, "connect-timeout", 10*time.Second, "fail after so long without a login")
	l.IntVar(&c.Joining, "joining", 0, "`number` of clients that connect and log in at the same time, at most (0: 64, or 1 if idle without a ramp)")
	l.DurationVar(&c.Ramp, "ramp", 0, "clients connect at equal distances over this `time` (0: as soon as -joining lets them)")
	l.BoolVar(&l.asJSON, "json", false, "print the result as JSON, histograms included")
	return l
}

// traffic adds the flags of loads that send something: messages, of which those of a client that are
// under way are described by open.
func (l *load) traffic(message, open string) {
	c := &l.cfg
	l.Var(&c.Rate, "rate", "open loop: "+message+" in all, like `1000/s`; latency counts from when one is due")
	l.StringVar(&l.arrivals, "arrivals", "fixed", "open loop: distances between "+message+", `fixed|poisson`")
	l.IntVar(&c.Window, "window", 0, "closed loop, in place of -rate: `"+message+"` of each "+open+" yet, at most; finds saturation")
	l.DurationVar(&c.Warmup, "warmup", time.Second, "load before the timed section: checked, but not timed")
	l.Uint64Var(&c.Seed, "seed", 1, "`number` that texts and poisson arrivals are made from")
	l.Var(&l.limit, "ceiling", "deliveries against the null server, like `30M/s`, or null to measure that first; a result above 70% of it is marked")
	l.DurationVar(&c.Objective, "objective", 50*time.Millisecond, "target for p99; the result is marked if the generator's own lag exceeds a tenth of it")
	l.DurationVar(&c.Drain, "drain", 3*time.Second, "at the end, after so long without a delivery, the rest counts as lost")
}

// run is the verb once its flags are declared.
func (l *load) run(ctx context.Context, args []string, env Env) int {
	if status, ok := parse(l.FlagSet, args, env); !ok {
		return status
	}
	c := &l.cfg
	if l.arrivals != "fixed" && l.arrivals != "poisson" {
		return failed(env, exitUsage, fmt.Errorf("loadgen %s: -arrivals is %q; give fixed or poisson", l.Name(), l.arrivals))
	}
	for _, name := range []string{"duration", "size", "files", "objective", "connect-timeout", "drain", "threads"} {
		if f := l.Lookup(name); f != nil && slices.Contains([]string{"0", "0s", "0B"}, f.Value.String()) {
			return failed(env, exitUsage, fmt.Errorf("loadgen %s: -%s is %s; give it above zero", l.Name(), name, f.Value))
		}
	}
	var err error
	if c.TLS, err = l.tls.Config(); err != nil {
		return failed(env, statusOf(err), fmt.Errorf("loadgen %s: %w", l.Name(), err))
	}
	c.Poisson, c.CPU, c.Ceiling = l.arrivals == "poisson", l.cpu, float64(l.limit.rate)
	if env.Terminal {
		c.Progress = func(p loadgen.Progress) { showProgress(env.Stderr, p) }
	}
	result, err := measure(ctx, *c, l.limit.find)
	if env.Terminal {
		fmt.Fprint(env.Stderr, clearLine)
	}
	switch {
	case errors.Is(err, loadgen.ErrInterrupted):
		return failed(env, exitFailed, errors.New("loadgen: interrupted; the run is void"))
	case err != nil:
		return failed(env, statusOf(err), err)
	}
	return printResult(env, result, l.asJSON)
}

func broadcast(ctx context.Context, args []string, env Env) int {
	l := newLoad(loadgen.Broadcast)
	l.IntVar(&l.cfg.Clients, "clients", 100, "`number` of clients in the room; each receives everything")
	l.IntVar(&l.cfg.Senders, "senders", 0, "`number` of them that send (0: ten, or all if they are fewer)")
	l.cfg.Size = 64
	l.Var(&l.cfg.Size, "size", "`octets` of a text, like 64B or 1KiB")
	l.IntVar(&l.cfg.Threads, "threads", 1, "`number` of threads, each with its share of the clients and, with -cpu, a CPU of its own")
	l.Lookup("server").Usage = "the server, `HOST:PORT`, or several of one room with commas between, over which clients are spread in turn; run chatd with -flood off, or you measure its flood control"
	l.traffic("messages", "sender that have not come back")
	return l.run(ctx, args, env)
}

func relay(ctx context.Context, args []string, env Env) int {
	l := newLoad(loadgen.Relay)
	l.IntVar(&l.cfg.Pairs, "pairs", 100, "`number` of clients that ask, each another one that answers")
	l.IntVar(&l.cfg.Files, "files", 5, "`number` of files in each list")
	l.IntVar(&l.cfg.Downloads, "downloads", 16, "one request in `N` is for a file, and every second of these is refused (0: all are for lists)")
	l.cfg.Size = 32
	l.Var(&l.cfg.Size, "size", "`octets` of a file's name, from 16B to 255B")
	l.Var(&l.cfg.ChatRate, "chat-rate", "chat messages of ten more clients at the same time, in all, like `50/s`; everybody receives them")
	l.traffic("requests", "asking client that have no answer")
	return l.run(ctx, args, env)
}

func idle(ctx context.Context, args []string, env Env) int {
	l := newLoad(loadgen.Idle)
	l.IntVar(&l.cfg.Clients, "clients", 1000, "`number` of clients that log in and stay silent")
	return l.run(ctx, args, env)
}

// measure runs the load. If the generator's ceiling has to be found, it runs one against a null
// server first.
func measure(ctx context.Context, cfg loadgen.Config, findCeiling bool) (*loadgen.Result, error) {
	if findCeiling {
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		var err error
		if cfg.Ceiling, err = loadgen.Ceiling(ctx, cfg, nil); err != nil {
			return nil, err
		}
	}
	return loadgen.Run(ctx, cfg)
}

// ceiling is a flag like 30M/s, or null.
type ceiling struct {
	rate units.Rate
	find bool
}

func (c *ceiling) String() string {
	switch {
	case c.find:
		return "null"
	case c.rate == 0:
		return ""
	}
	return c.rate.String()
}

func (c *ceiling) Set(text string) error {
	if c.find = text == "null"; c.find {
		return nil
	}
	return c.rate.Set(text)
}

func printResult(env Env, r *loadgen.Result, asJSON bool) int {
	if asJSON {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return failed(env, exitFailed, fmt.Errorf("loadgen: %w", err))
		}
	} else if err := writeTable(env.Stdout, r); err != nil {
		return failed(env, exitFailed, fmt.Errorf("loadgen: %w", err))
	}
	if r.Void() {
		return exitViolated
	}
	return exitOK
}

const clearLine = "\r\x1b[K"

func showProgress(w io.Writer, p loadgen.Progress) {
	line := fmt.Sprintf("%-10s  %s clients in the room", p.Phase, count(uint64(p.Clients)))
	if p.Left > 0 || p.Messages > 0 {
		line = fmt.Sprintf("%-10s  %s left  %s clients  %s messages  %s deliveries/s",
			p.Phase, p.Left.Round(100*time.Millisecond), count(uint64(p.Clients)), count(p.Messages), short(p.PerSecond))
	}
	fmt.Fprint(w, clearLine+line)
}
