package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatbench/bench/report"
)

// TestExactInterval: known values of the Clopper-Pearson interval, as R's
// binom.test gives them.
func TestExactInterval(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 40, 0, 0.0881}, {40, 40, 0.9119, 1}, {1, 40, 0.0006, 0.1316}, {9, 10, 0.5550, 0.9975},
		{10, 10, 0.6915, 1}, {20, 20, 0.8316, 1}, {5, 20, 0.0866, 0.4910}, {0, 0, 0, 1}, {50, 1000, 0.0373, 0.0654},
	} {
		low, high := exactInterval(c.k, c.n)
		if math.Abs(low-c.low) > 6e-5 || math.Abs(high-c.high) > 6e-5 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}

// TestBursts: half of the time is used, in whole bursts.
func TestBursts(t *testing.T) {
	b := bursts{400 * time.Millisecond, 400 * time.Millisecond}
	var spun, at time.Duration
	for at < 8*time.Second {
		spins, left := b.at(at)
		if left <= 0 || left > 400*time.Millisecond {
			t.Fatalf("%v goes on for %v", at, left)
		}
		if spins {
			spun += left
		}
		at += left
	}
	if spun != 4*time.Second {
		t.Errorf("%v of %v", spun, at)
	}
	if spins, left := b.at(500 * time.Millisecond); spins || left != 300*time.Millisecond {
		t.Errorf("at 500 ms: %v, %v", spins, left)
	}
	if (bursts{}).check() == nil {
		t.Error("bursts of nothing")
	}
}

// TestNeighbour: a neighbour that cannot be pinned reports it, and one that
// is stopped ends before its time.
func TestNeighbour(t *testing.T) {
	b := bursts{time.Millisecond, time.Millisecond}
	if err := b.spin(context.Background(), []int{1023}, time.Hour, 1); err == nil {
		t.Error("CPU 1023 was taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.spin(ctx, []int{0}, time.Hour, 1); err != nil {
		t.Error(err)
	}
}

// TestSeries: an interrupted series continues; a file of something else is refused.
func TestSeries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "aa.jsonl")
	for n := range 3 {
		s, err := openSeries[int](path, plan{Proof: "aa"})
		if err != nil || len(s.Done) != n {
			t.Fatalf("%v, %v, want %d", s, err, n)
		}
		if err := s.add(10 * n); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`123`) // cut off in the middle of a line
	f.Close()
	s, err := openSeries[int](path, plan{Proof: "aa"})
	if err != nil || fmt.Sprint(s.Done) != "[0 10 20]" {
		t.Errorf("%v, %v", s, err)
	}
	if err := s.add(30); err != nil {
		t.Fatal(err)
	}
	if s, err = openSeries[int](path, plan{Proof: "aa"}); err != nil || fmt.Sprint(s.Done) != "[0 10 20 30]" {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := openSeries[int](path, plan{Proof: "aa", Bench: "another"}); err == nil || !strings.Contains(err.Error(), "give another -o") {
		t.Errorf("of something else: %v", err)
	}
}

// TestSolve: the costs slow both loads down by the wanted amount.
func TestSolve(t *testing.T) {
	open, saturated := extra{OctetsWrite: 75, Octets: 74, Spin: 158}, extra{OctetsWrite: 40_000, Octets: 74, Spin: 0.7}
	c, err := solve(open, saturated)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []extra{open, saturated} {
		each := (float64(c.PerWrite) + float64(c.PerOctet)*e.OctetsWrite) / 1e6 * e.Octets / e.OctetsWrite
		if math.Abs(each/e.Spin-1) > 0.001 {
			t.Errorf("%+v: spins %.3f ns a delivery", e, each)
		}
	}
	if _, err := solve(open, extra{OctetsWrite: 40_000, Octets: 74, Spin: 0.01}); err == nil {
		t.Error("an octet would cost less than nothing")
	}
}

// TestSlowed: the call is inserted once into the core as it is now, and it builds.
func TestSlowed(t *testing.T) {
	source, err := os.ReadFile("../../" + slowFile)
	if err != nil {
		t.Fatal(err)
	}
	out, err := slowed(source, costs{7, 9})
	if err != nil || bytes.Count(out, []byte("slowdown.Charge(n, 7, 9)")) != 1 {
		t.Fatalf("%v:\n%s", err, out)
	}
	if _, err := slowed(out[:100], costs{}); err == nil {
		t.Error("made slow where nothing is given out")
	}
	if testing.Short() {
		return
	}
	path, err := buildSlow(context.Background(), costs{7, 9}, filepath.Join(t.TempDir(), "chatd"))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := command(context.Background(), ".", path, "-list"); err != nil || !strings.Contains(said, "epoll") {
		t.Errorf("%v: %s", err, said)
	}
}

// summary is the summary that bench prints of a run of two arms.
func summary(cpu, p50, saturated report.Versus) report.Summary {
	cpu.Primary, p50.Primary, saturated.Primary = true, true, true
	arm := func(name string, again bool, figures map[string]report.Figure) report.ArmSummary {
		a := report.ArmSummary{Figures: figures}
		a.Name, a.Again = name, again
		return a
	}
	holds := &report.Versus{Verdict: "holds", Primary: true, N: 8}
	open, closed := report.LoadSummary{}, report.LoadSummary{}
	open.Name, closed.Name = "fixed1000", "window128"
	open.Arms = []report.ArmSummary{
		arm("one", false, map[string]report.Figure{keyCPU: {}}),
		arm("two", false, map[string]report.Figure{keyCPU: {Versus: &cpu}, keyP50: {Versus: &p50}, "p99-ns": {Versus: &report.Versus{Verdict: "longer"}}}),
		arm("one.aa", true, map[string]report.Figure{keyCPU: {Versus: holds}}),
	}
	closed.Arms = []report.ArmSummary{arm("two", false, map[string]report.Figure{keyCPU: {Versus: &saturated}})}
	s := report.Summary{Loads: []report.LoadSummary{open, closed}}
	s.Checks.Rounds, s.Checks.VoidRounds = 48, 2
	return s
}

var (
	tie  = report.Versus{Verdict: "tie", Ratio: 1.001, Low: 0.99, High: 1.01, N: 8}
	open = report.Versus{Verdict: "not resolved", Ratio: 1.03, Low: 0.99, High: 1.07, N: 12}
	more = report.Versus{Verdict: "dearer", Ratio: 1.052, Low: 1.047, High: 1.058, N: 8}
	less = report.Versus{Verdict: "cheaper", Ratio: 0.94, Low: 0.92, High: 0.96, N: 8}
)

// fakeBench makes a directory with a bench that prints one of those summaries each
// time it is run, and exits with that status.
func fakeBench(t *testing.T, status int, of ...report.Summary) (bin string) {
	t.Helper()
	bin = t.TempDir()
	script := "#!/bin/sh\nn=$(cat $0.n 2>/dev/null || echo 0); echo $((n+1)) > $0.n; echo \"$@\" >> $0.args; cat $0.$n; exit " + fmt.Sprint(status) + "\n"
	for i, s := range of {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, fmt.Sprintf("bench.%d", i)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"bench": script, "chatd": "none"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// TestEqualServers: differences in primary figures are counted by run, and those
// in others are not; a series continues where it stopped.
func TestEqualServers(t *testing.T) {
	bin := fakeBench(t, 0, summary(tie, tie, tie), summary(more, tie, less), summary(tie, open, tie), summary(tie, tie, tie))
	file := filepath.Join(t.TempDir(), "aa.jsonl")
	var out bytes.Buffer
	for _, runs := range []string{"1", "3", "4"} {
		out.Reset()
		if err := aa(context.Background(), []string{"-bin", bin, "-o", file, "-runs", runs, "-bench", "-window 7"}, &out); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"run 3 of 4, done before", "run 4 of 4: status 0", "some difference 1, all ties 2, else undecided 1, too disturbed 0",
		"void rounds 8 of 192", "the open loop, CPU of two", "dearer 1, tie 3", "too disturbed: 1 of 4, 25.0 % (95 %: 0.6–80.6)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if args, _ := os.ReadFile(bin + "/bench.args"); strings.Count(string(args), "\n") != 4 || strings.Count(string(args), "-arm two=epoll -budget 2m0s -window 7\n") != 4 || strings.Count(string(args), "-seed 1 ") != 1 {
		t.Errorf("bench was run with\n%s", args)
	}
	bad := fakeBench(t, statusViolated, summary(tie, tie, tie))
	if err := aa(context.Background(), []string{"-bin", bad, "-o", file + "x", "-runs", "1"}, &out); err != errNotShown {
		t.Errorf("a server lost a message: %v", err)
	}
	if err := aa(context.Background(), []string{"-bin", bad, "-o", file, "-runs", "1"}, &out); err == nil || err == errNotShown {
		t.Errorf("another bench goes on with the series: %v", err)
	}
	disturbed := fakeBench(t, statusDisturbed, summary(more, tie, tie))
	if err := aa(context.Background(), []string{"-bin", disturbed, "-o", file + "z", "-runs", "1"}, &out); err != errNotShown || !strings.Contains(out.String(), "some difference 0, all ties 0, else undecided 0, too disturbed 1") {
		t.Errorf("too disturbed to say: %v\n%s", err, &out)
	}
	broken := fakeBench(t, 1)
	if err := aa(context.Background(), []string{"-bin", broken, "-o", file + "y", "-runs", "1"}, &out); err == nil || !strings.Contains(err.Error(), "run 1: bench run: exit status 1") {
		t.Errorf("a bench that fails: %v", err)
	}
}

// TestAgreement: a contradiction between verdicts is found; a tie and a difference
// do not contradict each other.
func TestAgreement(t *testing.T) {
	for _, c := range []struct {
		a, b report.Summary
		want string
		err  error
	}{
		{summary(tie, more, less), summary(tie, open, less), "in 3 figures: the same in 3, a tie in one and a difference in the other in 0, contradictions 0", nil},
		{summary(tie, more, less), summary(more, more, more), "the same in 2, a tie in one and a difference in the other in 1, contradictions 1", errNotShown},
	} {
		bin, file := fakeBench(t, 0, c.a, c.b), filepath.Join(t.TempDir(), "whole.jsonl")
		var out bytes.Buffer
		err := whole(context.Background(), []string{"-bin", bin, "-o", file}, &out)
		if err != c.err || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v, no %q in\n%s", err, c.want, &out)
		}
	}
}

// TestGateTally: passes and failures are counted by what the gate says.
func TestGateTally(t *testing.T) {
	pass, worse := gated{Markdown: "## bench gate: not worse\n\nmore"}, gated{Markdown: "## bench gate: worse\n", Status: 1}
	var out bytes.Buffer
	if wrong := gateTally(&out, "docs", []gated{pass, pass, worse}); wrong != 1 || !strings.Contains(out.String(), "pass 2 of 3") || !strings.Contains(out.String(), "statuses 0 0 1;") {
		t.Errorf("%d: %s", wrong, &out)
	}
	if wrong := gateTally(&out, "slow", []gated{worse, worse}); wrong != 0 || !strings.Contains(out.String(), "worse 2 of 2") {
		t.Errorf("%d: %s", wrong, &out)
	}
}

// TestFound: a slow server counts as found if its CPU is certainly dearer.
func TestFound(t *testing.T) {
	var done []outcome
	for _, s := range []report.Summary{summary(more, tie, more), summary(open, more, more), summary(less, tie, tie), summary(tie, tie, more)} {
		text, err := json.Marshal(s)
		var o outcome
		if err == nil {
			err = o.read(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, o)
	}
	if a, b := found(done, "two", "the open loop"), found(done, "two", "saturation"); a != 1 || b != 3 {
		t.Errorf("found %d and %d times", a, b)
	}
}

// TestSlowServer: it must be found in nine runs of ten, under each load.
func TestSlowServer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a chatd")
	}
	dir := t.TempDir()
	kept := filepath.Join(dir, "slowdown.json")
	reached := judged{Load: "fixed1000", Figure: keyCPU, Versus: more}
	text, err := json.Marshal(calibration{Costs: costs{150_000_000, 9_500}, Wanted: make([]extra, 2), Reached: []judged{reached, reached}})
	if err == nil {
		err = os.WriteFile(kept, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := calibrate(context.Background(), []string{"-slowdown", kept}, &out); err != nil || !strings.Contains(out.String(), "kept before") || !strings.Contains(out.String(), "1.052 (1.047–1.058)") {
		t.Errorf("%v: %s", err, &out)
	}
	found := summary(more, tie, more)
	for i, c := range []struct {
		last report.Summary
		want error
	}{{found, nil}, {summary(more, tie, open), errNotShown}} {
		bin := fakeBench(t, 0, found, c.last)
		for n := range 2 {
			path := fmt.Sprintf("%s/bench.%d", bin, n)
			text, err := os.ReadFile(path)
			text = bytes.ReplaceAll(text, []byte(`"two"`), []byte(`"slow"`))
			if n == 1 { // its pilot found another rate
				text = bytes.ReplaceAll(text, []byte(`"fixed1000"`), []byte(`"fixed500"`))
			}
			if err == nil {
				err = os.WriteFile(path, text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		out.Reset()
		err := slow(context.Background(), []string{"-bin", bin, "-o", fmt.Sprintf("%s/slow%d.jsonl", dir, i), "-runs", "2", "-slowdown", kept}, &out)
		if err != c.want || !strings.Contains(out.String(), "found dearer under the open loop: 2 of 2, 100.0 %") {
			t.Errorf("%v, want %v:\n%s", err, c.want, &out)
		}
	}
	if err := calibrate(context.Background(), []string{"-slowdown", filepath.Join(dir, "slow0.jsonl")}, &out); err == nil || !strings.Contains(err.Error(), "was not written by calibrate") {
		t.Errorf("of something else: %v", err)
	}
}

// TestFrozenTally: figures are alike if their interval lies within ±5 %, and the
// frozen servers must have used nothing.
func TestFrozenTally(t *testing.T) {
	pairs := func(times float64, took time.Duration) (all []pair) {
		for i := range 8 {
			for _, l := range frozenLoads() {
				p := pair{Load: l.name, Alone: map[string]float64{}, Beside: map[string]float64{}, FrozenCPU: took, Slices: 80}
				for j, key := range frozenFigures {
					p.Alone[key] = float64(1000*j + 10*i + 100)
					p.Beside[key] = p.Alone[key] * (1 + 0.001*float64(i-3))
				}
				p.Beside[keyP50] *= times
				all = append(all, p)
			}
		}
		return all
	}
	for _, c := range []struct {
		times float64
		took  time.Duration
		want  error
	}{{1, 0, nil}, {1.06, 0, errNotShown}, {1, 1, errNotShown}} {
		var out bytes.Buffer
		if err := frozenTally(&out, pairs(c.times, c.took), 12); err != c.want || strings.Count(out.String(), "| 8 |") != 6 {
			t.Errorf("%+v: %v\n%s", c, err, &out)
		}
	}
	if err := frozenTally(&bytes.Buffer{}, pairs(1, 0)[:4], 12); err != errNotShown {
		t.Errorf("two pairs show it: %v", err)
	}
}
