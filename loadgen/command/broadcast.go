package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"chatbench/core/units"
	"chatbench/loadgen"
)

// broadcast is the verb: one load, one table.
func broadcast(ctx context.Context, args []string, env Env) int {
	cfg := loadgen.Config{Clients: 100, Size: 64}
	var (
		cpu      cpus
		limit    ceiling
		arrivals string
		asJSON   bool
	)
	f := flag.NewFlagSet("broadcast", flag.ContinueOnError)
	f.StringVar(&cfg.Server, "server", "127.0.0.1:9000", "the server, `HOST:PORT`")
	f.IntVar(&cfg.Clients, "clients", 100, "`number` of clients in the room; each receives everything")
	f.IntVar(&cfg.Senders, "senders", 0, "`number` of them that send (0: ten, or all if they are fewer)")
	f.Var(&cfg.Rate, "rate", "open loop: messages in all, like `1000/s`; latency counts from when a message is due")
	f.StringVar(&arrivals, "arrivals", "fixed", "open loop: distances between messages, `fixed or poisson`")
	f.IntVar(&cfg.Window, "window", 0, "closed loop instead: `messages` that each sender has without their echo; finds saturation")
	f.Var(&cfg.Size, "size", "`octets` of a text, like 64B or 1KiB")
	f.DurationVar(&cfg.Duration, "duration", 5*time.Second, "length of the timed section")
	f.DurationVar(&cfg.Warmup, "warmup", time.Second, "load before it: checked, but not timed")
	f.Uint64Var(&cfg.Seed, "seed", 1, "`number` that texts and poisson arrivals are made from")
	f.Var(&cpu, "cpu", "`CPU` or CPUs that the generator's thread is pinned to, like 1 (none: not pinned)")
	f.Var(&limit, "ceiling", "deliveries against the null server, like `30M/s`, or null to find out first; a result above 70% of it is marked")
	f.DurationVar(&cfg.Objective, "objective", 50*time.Millisecond, "for p99; a generator that lags by over a tenth of it is marked")
	f.DurationVar(&cfg.Connect, "connect-timeout", 10*time.Second, "how long nobody may get in before that is an error")
	f.DurationVar(&cfg.Drain, "drain", 3*time.Second, "how long nothing may arrive at the end before the rest is lost")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON, histograms included")
	if status, ok := parse(f, args, env); !ok {
		return status
	}
	if arrivals != "fixed" && arrivals != "poisson" {
		return failed(env, exitUsage, fmt.Errorf("loadgen broadcast: arrivals are fixed or poisson, not %q", arrivals))
	}
	if cfg.Duration == 0 || cfg.Size == 0 || cfg.Objective == 0 || cfg.Connect == 0 || cfg.Drain == 0 {
		return failed(env, exitUsage, errors.New("loadgen broadcast: duration, size, objective, connect-timeout and drain are above zero"))
	}
	cfg.Poisson, cfg.CPU, cfg.Ceiling = arrivals == "poisson", cpu, float64(limit.rate)
	if env.Terminal {
		cfg.Progress = func(p loadgen.Progress) { showProgress(env.Stderr, cfg.Clients, p) }
	}
	result, err := measure(ctx, cfg, limit.find)
	if env.Terminal {
		fmt.Fprint(env.Stderr, clearLine)
	}
	switch {
	case errors.Is(err, loadgen.ErrInterrupted):
		return failed(env, exitFailed, errors.New("loadgen: interrupted; the run is void"))
	case err != nil:
		return failed(env, statusOf(err), err)
	}
	return printResult(env, result, asJSON)
}

// measure runs the load, after one against a null server if the generator's
// ceiling is to be found.
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
	return loadgen.Broadcast(ctx, cfg)
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

func showProgress(w io.Writer, clients int, p loadgen.Progress) {
	line := fmt.Sprintf("%-9s  %d of %d clients in", p.Phase, p.Clients, clients)
	if p.Left > 0 || p.Messages > 0 {
		line = fmt.Sprintf("%-9s  %s left  %s clients  %s messages  %s deliveries/s",
			p.Phase, p.Left.Round(100*time.Millisecond), count(uint64(clients)), count(p.Messages), short(p.PerSecond))
	}
	fmt.Fprint(w, clearLine+line)
}
