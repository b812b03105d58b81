// Proofs tests the bench's own method on a real machine: equal servers must be
// called equal, a server that costs 5 % more must be found, and what is measured
// must not depend on which other servers exist.
//
//	go run ./bench/proofs aa -runs 40 -neighbour
//
// Each verb runs bench as a user would, again and again, stores every run as a
// line of JSON, and continues where it stopped if it was interrupted. It prints
// the tables of docs/method.md, and ends with exit status 0 if the
// claim held, 1 if it did not or nothing could be measured, 2 if the command line
// was wrong.
//
// It does not judge by itself: verdicts are the bench's, and it counts them. Only
// frozen drives servers itself, because every run of the bench has several servers.
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
  gate       a commit that changes nothing, and one that costs 5 % more
  neighbour  use CPUs in bursts; the other verbs start it with -neighbour

VERB -h lists the flags of a verb.
`

var (
	errInterrupted = errors.New("interrupted; what was done is kept, repeat the command to continue")
	// errNotShown is returned if everything was done, but does not show what is claimed.
	errNotShown = errors.New("what was measured does not show what is claimed")
)

// verbs by name.
var verbs = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"aa": aa, "calibrate": calibrate, "slow": slow, "whole": whole, "frozen": frozen, "gate": gate, "neighbour": neighbour,
}

// Processes die with the thread that started them: this is the main thread.
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
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// usageError is an error in the command line.
type usageError struct{ error }

// flags are the flags that most verbs have.
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
	f.set.BoolVar(&f.neighbour, "neighbour", false, "run with a noisy neighbour that uses all CPUs in bursts")
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
		err = fmt.Errorf("unknown argument %q; flags begin with -", f.set.Arg(0))
	case err == nil && (f.runs < 0 || f.runs > 10_000 || f.set.Lookup("runs") != nil && f.runs == 0):
		err = fmt.Errorf("%d runs; give 1 to 10000", f.runs)
	case err == nil:
		err = f.check()
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// beside returns the neighbour, if there is one.
func (f *flags) beside() *bursts {
	if !f.neighbour {
		return nil
	}
	return &f.bursts
}

// neighbour is the verb: it is a noisy neighbour.
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

// sorted sorts verdicts by load and figure.
func sorted(js []judged) []judged {
	slices.SortFunc(js, func(a, b judged) int {
		return cmp.Or(strings.Compare(a.Load, b.Load), strings.Compare(a.Arm, b.Arm), strings.Compare(a.Figure, b.Figure))
	})
	return js
}
