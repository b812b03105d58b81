// Proofs tries the bench's own method on a real machine: equal servers must be
// called equal, a server that is 5 % dearer must be found, and what is measured
// must not depend on who else is there.
//
//	go run ./bench/proofs aa -runs 40 -neighbour
//
// Each verb runs bench as anybody would, again and again, keeps every run as a
// line of JSON, and goes on where it stood when it was interrupted. It prints
// what the tables in docs/method.md hold, and ends with exit status 0 if the
// claim held, 1 if it did not or nothing could be measured, 2 if the command line
// was not understood.
//
// It refuses to judge by itself: verdicts are the bench's, it counts them. Only
// frozen drives servers itself, for no run of the bench has a server without others.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"chatbench/bench/machine"
)

const usage = `usage: go run ./bench/proofs VERB [flags]

  aa         equal servers, again and again: how often is one called different
  calibrate  build a server that is 5 % dearer, and measure by how much it is
  slow       that server against the plain one: how often is it found
  whole      the same plan in slices and in pieces: do the verdicts agree
  frozen     one server alone, and beside frozen ones: are its figures the same
  gate       a commit that changes nothing, and one that is 5 % dearer
  neighbour  take CPUs in bursts; the others start it with -neighbour

VERB -h lists the flags of a verb.
`

var (
	errInterrupted = errors.New("interrupted; what was done is kept, the same command goes on with it")
	// errNotShown is returned where everything was done, and does not show what is claimed.
	errNotShown = errors.New("what was measured does not show what is claimed")
)

// verbs by name.
var verbs = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"aa": aa, "calibrate": calibrate, "slow": slow, "whole": whole, "frozen": frozen, "gate": gate, "neighbour": neighbour,
}

// What is started dies with the thread that started it: this is the main one.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 || verbs[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	err := verbs[args[0]](ctx, args[1:], os.Stdout)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "proofs %s: %v\n", args[0], err)
	if errors.As(err, new(misuse)) {
		return 2
	}
	return 1
}

// misuse is a command line that was not understood.
type misuse struct{ error }

// flags are those that most verbs have.
type flags struct {
	set       *flag.FlagSet
	bin       string
	out       string
	seed      uint64
	runs      int
	more      string
	budget    time.Duration
	neighbour bool
	bursts
}

// newFlags is the flags of a verb that measures.
func newFlags(verb string) *flags {
	f := &flags{set: flag.NewFlagSet(verb, flag.ContinueOnError)}
	f.set.StringVar(&f.bin, "bin", "bin", "`DIR` of bench, chatd and loadgen")
	f.set.Uint64Var(&f.seed, "seed", 1, "`NUMBER` that the seed of each run is made from")
	f.set.BoolVar(&f.neighbour, "neighbour", false, "run beside a neighbour who takes all CPUs in bursts")
	f.burstFlags()
	return f
}

// benchFlag is for a verb that runs bench.
func (f *flags) benchFlag() {
	f.set.StringVar(&f.more, "bench", "", "more `FLAGS` for bench, like '-window none'")
}

// seriesFlag is for a verb that keeps a series.
func (f *flags) seriesFlag() {
	f.set.StringVar(&f.out, "o", filepath.Join("results", "proofs", f.set.Name()+".jsonl"), "`FILE` of what was done, a line each; the raw files of runs go beside it")
}

// runsFlags is for a verb that runs bench many times.
func (f *flags) runsFlags(runs int) {
	f.benchFlag()
	f.seriesFlag()
	f.set.IntVar(&f.runs, "runs", runs, "`N` runs")
	f.set.DurationVar(&f.budget, "budget", 2*time.Minute, "`TIME` for each run")
}

func (f *flags) burstFlags() {
	f.set.DurationVar(&f.Busy, "busy", 400*time.Millisecond, "`TIME` that a burst of the neighbour takes")
	f.set.DurationVar(&f.Idle, "idle", 400*time.Millisecond, "`TIME` between two of them")
}

func (f *flags) parse(args []string) error {
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	err := f.set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.set.SetOutput(os.Stdout)
		f.set.PrintDefaults()
		return err
	case err == nil && f.set.NArg() > 0:
		err = fmt.Errorf("no argument %q is known; flags begin with -", f.set.Arg(0))
	case err == nil && (f.runs < 0 || f.runs > 10_000 || f.set.Lookup("runs") != nil && f.runs == 0):
		err = fmt.Errorf("%d runs; from 1 to 10000", f.runs)
	case err == nil:
		err = f.check()
	}
	if err != nil {
		return misuse{err}
	}
	return nil
}

// beside is the neighbour, if there is to be one.
func (f *flags) beside() *bursts {
	if !f.neighbour {
		return nil
	}
	return &f.bursts
}

// neighbour is the verb: be one.
func neighbour(ctx context.Context, args []string, _ io.Writer) error {
	f := &flags{set: flag.NewFlagSet("neighbour", flag.ContinueOnError)}
	f.burstFlags()
	var cpus []int
	f.set.Func("cpus", "`CPUS` to take, like 0,1 (all that are allowed)", func(text string) (err error) {
		cpus, err = machine.ParseCPUs(text)
		return err
	})
	long := f.set.Duration("for", 10*time.Minute, "`TIME` after which it ends")
	f.set.Uint64Var(&f.seed, "seed", 1, "`NUMBER` that the beginnings of the bursts are drawn from")
	if err := f.parse(args); err != nil {
		return err
	}
	if cpus == nil {
		var err error
		if cpus, err = machine.Allowed(); err != nil {
			return err
		}
	}
	return f.spin(ctx, cpus, *long, f.seed)
}

// sorted is verdicts by load and figure, so that they are always in one order.
func sorted(js []judged) []judged {
	slices.SortFunc(js, func(a, b judged) int {
		return cmp.Or(strings.Compare(a.Load, b.Load), strings.Compare(a.Arm, b.Arm), strings.Compare(a.Figure, b.Figure))
	})
	return js
}
