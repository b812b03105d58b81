package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chatbench/bench/stats"
)

// aa is the verb: it compares two arms of the same server, judged like any two arms.
func aa(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("aa")
	f.runsFlags(40)
	if err := f.parse(args); err != nil {
		return err
	}
	done, err := f.again(ctx, out, nil, "-arm", "one=epoll", "-arm", "two=epoll")
	if err != nil {
		return err
	}
	t := tallyOf(done, "two")
	fmt.Fprintf(out, "\n%d runs of two equal servers%s; at most %v each\n", t.runs, besideText(done), f.budget)
	t.print(out, done)
	said := t.runs - t.disturbed
	fmt.Fprintf(out, "runs with a false difference in a primary figure, of those not too disturbed: %s\n", shareText(t.different, said))
	most := stats.Alpha * float64(len(t.loads)) // each load has a family of its own
	if low, _ := exactInterval(t.different, said); low > most || t.violated > 0 || 2*said <= t.runs {
		return errNotShown
	}
	return nil
}

// slow is the verb: it compares a server that costs 5 % more with a plain one.
func slow(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("slow")
	f.runsFlags(10)
	calibration := f.calibrationFlag()
	if err := f.parse(args); err != nil {
		return err
	}
	c, err := readCalibration(*calibration)
	if err != nil {
		return err
	}
	chatd, err := buildSlow(ctx, c.Costs, filepath.Join(filepath.Dir(*calibration), "chatd-slow"))
	if err != nil {
		return err
	}
	done, err := f.again(ctx, out, &c.Costs, "-arm", "plain=epoll", "-arm", "slow="+chatd+":epoll")
	if err != nil {
		return err
	}
	t := tallyOf(done, "slow")
	fmt.Fprintf(out, "\n%d runs of a server that is dearer, %s%s; at most %v each\n", t.runs, c.reached(), besideText(done), f.budget)
	t.print(out, done)
	held := t.violated == 0
	for _, load := range t.loads {
		n := found(done, "slow", load)
		fmt.Fprintf(out, "found dearer under %s: %s\n", load, shareText(n, t.runs))
		held = held && 10*n >= 9*t.runs
	}
	if !held || len(t.loads) == 0 {
		return errNotShown
	}
	return nil
}

// found is in how many runs an arm was found to cost more CPU per delivery under a kind
// of load.
func found(done []outcome, arm, load string) (n int) {
	for _, o := range done {
		for _, j := range o.of(arm) {
			if kind(j.Load) == load && j.Figure == keyCPU && j.different() && j.Ratio > 1 {
				n++
			}
		}
	}
	return n
}

// again runs bench as many times as asked for, without the runs that were done before.
func (f *flags) again(ctx context.Context, out io.Writer, slowdown *costs, arms ...string) ([]outcome, error) {
	p := programs{f.bin}
	what, err := p.plan(f.set.Name(), append(append(arms, "-budget", f.budget.String()), strings.Fields(f.more)...))
	if err != nil {
		return nil, err
	}
	what.Neighbour, what.Slowdown = f.beside(), slowdown
	s, err := openSeries[outcome](f.out, what)
	if err != nil {
		return nil, err
	}
	for i, o := range s.Done[:min(len(s.Done), f.runs)] {
		fmt.Fprintf(out, "run %d of %d, done before: %s\n", i+1, f.runs, o.line())
	}
	for n := len(s.Done) + 1; n <= f.runs; n++ {
		seed := f.seed + uint64(n-1)*1_000_003 // rounds of a run add one each
		dir, err := s.dir(fmt.Sprintf("%03d", n))
		if err != nil {
			return nil, err
		}
		o, err := p.run(ctx, what.Argv, what.Neighbour, seed, dir)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", n, err)
		}
		o.Run = n
		if err := s.add(o); err != nil {
			return nil, err
		}
		fmt.Fprintf(out, "run %d of %d: %s\n", n, f.runs, o.line())
	}
	return s.Done[:f.runs], nil
}

// line is a run as one line.
func (o outcome) line() string {
	parts := []string{fmt.Sprintf("status %d, %.0f s", o.Status, o.Took.Seconds())}
	for _, j := range o.Judged {
		if j.Primary && !j.Again {
			parts = append(parts, fmt.Sprintf("%s %s %s %s after %d", j.Load, short(j.Figure), j.Verdict, j.text(), j.N))
		}
	}
	slices.Sort(parts[1:])
	if o.Neighbour > 0 {
		parts = append(parts, fmt.Sprintf("neighbour took %.0f %%", 100*o.Neighbour))
	}
	return strings.Join(parts, "; ")
}

// kind is a load without its rate or window: runs of one series have different rates,
// because the pilot of each run chooses one.
func kind(load string) string {
	switch strings.TrimRight(load, "0123456789.") {
	case "fixed":
		return "the open loop"
	case "window":
		return "saturation"
	}
	return load
}

// short is a figure's name for a line.
func short(key string) string {
	if key == keyCPU {
		return "CPU"
	}
	name, _, _ := strings.Cut(key, "-")
	return name
}

// tally counts the results of runs. A run is too disturbed, or a server failed in it: by
// its exit status; otherwise it is the first of different, undecided and tied that any
// of its primary figures is.
type tally struct {
	runs, disturbed, violated  int
	different, undecided, tied int
	void, rounds               int      // of all arms
	loads                      []string // kinds of loads, in order
}

func tallyOf(done []outcome, arm string) (t tally) {
	for _, o := range done {
		t.runs++
		t.void, t.rounds = t.void+o.Void, t.rounds+o.Rounds
		different, undecided := false, len(o.of(arm)) == 0
		for _, j := range o.of(arm) {
			different = different || j.different()
			undecided = undecided || j.Verdict == string(stats.Unresolved)
		}
		for _, load := range o.Loads {
			if k := kind(load); !slices.Contains(t.loads, k) {
				t.loads = append(t.loads, k)
			}
		}
		switch {
		case o.Status == statusDisturbed:
			t.disturbed++
		case o.Status == statusViolated:
			t.violated++
		case different:
			t.different++
		case undecided:
			t.undecided++
		default:
			t.tied++
		}
	}
	return t
}

// print prints the tally and, figure by figure, the verdicts.
func (t tally) print(out io.Writer, done []outcome) {
	fmt.Fprintf(out, "some difference %d, all ties %d, else undecided %d, too disturbed %d, a message lost or a server failed %d; void rounds %d of %d\n",
		t.different, t.tied, t.undecided, t.disturbed, t.violated, t.void, t.rounds)
	type row struct {
		verdicts       map[string]int
		ratios, rounds []float64
	}
	rows, names := make(map[string]*row), []string{}
	var took, shares []float64
	for _, o := range done {
		took, shares = append(took, o.Took.Seconds()), append(shares, o.Neighbour)
		for _, j := range o.Judged {
			if !j.Primary {
				continue
			}
			name := fmt.Sprintf("%s, %s of %s", kind(j.Load), short(j.Figure), j.Arm)
			if rows[name] == nil {
				rows[name], names = &row{verdicts: make(map[string]int)}, append(names, name)
			}
			r := rows[name]
			r.verdicts[j.Verdict]++
			r.ratios, r.rounds = append(r.ratios, j.Ratio), append(r.rounds, float64(j.N))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		r := rows[name]
		fmt.Fprintf(out, "  %-32s %s; ratio %.3f (runs' quartiles %.3f–%.3f), rounds %.0f\n", name, verdictsText(r.verdicts),
			stats.Median(r.ratios), stats.Quantile(r.ratios, 0.25), stats.Quantile(r.ratios, 0.75), stats.Median(r.rounds))
	}
	fmt.Fprintf(out, "time of a run: median %.0f s, at most %.0f s\n", stats.Median(took), stats.Quantile(took, 1))
	if share := stats.Median(shares); share > 0 {
		fmt.Fprintf(out, "the neighbour took %.0f %% of each CPU, median\n", 100*share)
	}
}

// verdictsText is the verdicts with how often each was given, by name.
func verdictsText(of map[string]int) string {
	var parts []string
	for v, n := range of {
		parts = append(parts, fmt.Sprintf("%s %d", v, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// shareText is a proportion with its exact interval.
func shareText(k, n int) string {
	low, high := exactInterval(k, n)
	return fmt.Sprintf("%d of %d, %.1f %% (95 %%: %.1f–%.1f)", k, n, 100*float64(k)/float64(max(n, 1)), 100*low, 100*high)
}

func besideText(done []outcome) string {
	if len(done) > 0 && done[0].Neighbour > 0 {
		return " beside a neighbour"
	}
	return ""
}

// whole is the verb: it measures the same plan in both ways.
func whole(ctx context.Context, args []string, out io.Writer) error {
	f := newFlags("whole")
	f.benchFlag()
	f.seriesFlag()
	backends := f.set.String("backends", "epoll,goroutine,gnet,process,thread", "`NAMES` to measure")
	f.set.DurationVar(&f.budget, "budget", 0, "`TIME` for each way (as bench has it)")
	if err := f.parse(args); err != nil {
		return err
	}
	p := programs{f.bin}
	argv := append([]string{"-backends", *backends}, strings.Fields(f.more)...)
	if f.budget > 0 {
		argv = append(argv, "-budget", f.budget.String())
	}
	what, err := p.plan("whole", argv)
	if err != nil {
		return err
	}
	what.Neighbour = f.beside()
	s, err := openSeries[outcome](f.out, what)
	if err != nil {
		return err
	}
	ways := []string{"slices", "whole"}
	for n := len(s.Done); n < len(ways); n++ {
		dir, err := s.dir(ways[n])
		if err != nil {
			return err
		}
		way := argv
		if ways[n] == "whole" {
			way = append(slices.Clone(argv), "-whole")
		}
		o, err := p.run(ctx, way, what.Neighbour, f.seed, dir)
		if err != nil {
			return err
		}
		o.Run = n + 1
		if err := s.add(o); err != nil {
			return err
		}
	}
	for i, o := range s.Done {
		fmt.Fprintf(out, "in %s: status %d, %v, void rounds %d of %d\n", ways[i], o.Status, o.Took.Round(time.Second), o.Void, o.Rounds)
	}
	return agreement(out, s.Done[0], s.Done[1])
}

// agreement prints both verdicts of every figure, and counts.
func agreement(out io.Writer, turns, pieces outcome) error {
	both, same, other, against := 0, 0, 0, 0
	fmt.Fprintf(out, "\n| load | arm | figure | in slices | in one piece | |\n|---|---|---|---|---|---|\n")
	for _, a := range sorted(turns.Judged) {
		for _, b := range pieces.Judged {
			if a.Again || a.Load != b.Load || a.Arm != b.Arm || a.Figure != b.Figure {
				continue
			}
			word := ""
			switch settled := a.Verdict != string(stats.Unresolved) && b.Verdict != string(stats.Unresolved); {
			case !settled:
			case a.Verdict == b.Verdict:
				both, same, word = both+1, same+1, "same"
			case a.different() && b.different():
				both, against, word = both+1, against+1, "contradiction"
			default:
				both, other, word = both+1, other+1, "one a tie"
			}
			name := a.Figure
			if a.Primary {
				name += " •"
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s %s | %s %s | %s |\n", a.Load, a.Arm, name, a.Verdict, a.text(), b.Verdict, b.text(), word)
		}
	}
	fmt.Fprintf(out, "\nboth have a verdict in %d figures: the same in %d, a tie in one and a difference in the other in %d, contradictions %d\n", both, same, other, against)
	if against > 0 || both == 0 {
		return errNotShown
	}
	return nil
}
