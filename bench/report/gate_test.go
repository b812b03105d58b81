package report

import (
	"strings"
	"testing"

	"chatbench/bench/record"
)

func TestGateFigure(t *testing.T) {
	cost := find(keyCPU)
	speed := find(keyRate)
	for _, c := range []struct {
		name   string
		metric metric
		versus Versus
		again  string // verdict of A/A
		want   GateVerdict
	}{
		{"equal", cost, Versus{Ratio: 1, Low: 0.98, High: 1.02, SureLow: 0.97, SureHigh: 1.03, Verdict: "tie"}, holds, GateNotWorse},
		{"equal, but not at every look", cost, Versus{Ratio: 1, Low: 0.98, High: 1.02, SureLow: 0.94, SureHigh: 1.06, Verdict: "not resolved"}, holds, GateUndecided},
		{"too few rounds for the looks", cost, Versus{Ratio: 1, Low: 0.98, High: 1.02, Verdict: "not resolved"}, holds, GateUndecided},
		{"equal, the baseline is not", cost, Versus{Ratio: 1, Low: 0.98, High: 1.02, SureLow: 0.97, SureHigh: 1.03, Verdict: "not resolved"}, fails, GateUndecided},
		{"better", cost, Versus{Ratio: 0.8, Low: 0.7, High: 0.9, SureLow: 0.6, SureHigh: 0.95, Verdict: "cheaper"}, holds, GateNotWorse},
		{"better than a baseline that is not equal", cost, Versus{Ratio: 0.8, Low: 0.7, High: 0.9, Verdict: "cheaper"}, fails, GateNotWorse},
		{"a little worse for sure", cost, Versus{Ratio: 1.02, Low: 1.01, High: 1.03, SureLow: 1.005, SureHigh: 1.035, Verdict: "dearer"}, holds, GateNotWorse},
		{"a little worse, how much is not sure", cost, Versus{Ratio: 1.03, Low: 1.01, High: 1.04, SureLow: 1.005, SureHigh: 1.06, Verdict: "dearer"}, holds, GateUndecided},
		{"just so much", cost, Versus{Ratio: 1.05, Low: 1.03, High: 1.07, SureLow: 1.02, SureHigh: 1.08, Verdict: "dearer"}, holds, GateWorse},
		{"wide", cost, Versus{Ratio: 1, Low: 0.9, High: 1.1, SureLow: 0.9, SureHigh: 1.1, Verdict: "not resolved"}, holds, GateUndecided},
		{"too few rounds", cost, Versus{Ratio: 2, Verdict: "not resolved"}, holds, GateUndecided},
		{"slower", speed, Versus{Ratio: 0.9, Low: 0.85, High: 0.95, SureLow: 0.8, SureHigh: 0.97, Verdict: "slower"}, holds, GateWorse},
		{"nearly as fast", speed, Versus{Ratio: 0.99, Low: 0.97, High: 1.01, SureLow: 0.96, SureHigh: 1.02, Verdict: "tie"}, holds, GateNotWorse},
		{"nearly as fast, not at every look", speed, Versus{Ratio: 0.99, Low: 0.97, High: 1.01, SureLow: 0.95, SureHigh: 1.02, Verdict: "not resolved"}, holds, GateUndecided},
		{"faster", speed, Versus{Ratio: 1.2, Low: 1.1, High: 1.3, SureLow: 1.05, SureHigh: 1.4, Verdict: "faster"}, holds, GateNotWorse},
	} {
		if got := c.versus.gate(c.metric, 0.05, &Versus{Verdict: c.again}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if got := c.versus.gate(c.metric, 0.05, nil); got == GateNotWorse && c.versus.Verdict != c.metric.words[0] {
			t.Errorf("%s: not worse without A/A", c.name)
		}
	}
}

// gateSummary is a run of two builds under a saturated load, in one figure.
func gateSummary(ratio, low, high float64, verdict string, void map[record.Reason]int) *Summary {
	versus := func(ratio, low, high float64, verdict string) map[string]Figure {
		return map[string]Figure{keyCPU: {N: 8, Median: 3500 * ratio, Versus: &Versus{N: 8, Ratio: ratio, Low: low, High: high, SureLow: low, SureHigh: high, Verdict: verdict}}}
	}
	arms := []ArmSummary{
		{Arm: record.Arm{Name: "baseline"}, Rounds: 8, Figures: map[string]Figure{keyCPU: {N: 8, Median: 3500}}},
		{Arm: record.Arm{Name: "head"}, Rounds: 8, Figures: versus(ratio, low, high, verdict)},
		{Arm: record.Arm{Name: "baseline.aa", Again: true}, Rounds: 8, Figures: versus(1, 0.99, 1.01, holds)},
	}
	return &Summary{
		Reference: "baseline", Checks: record.Checks{Rounds: 24, Void: void},
		Loads: []LoadSummary{{Load: record.Load{Name: "window128", Window: 128}, Arms: arms}},
	}
}

// TestGate: an alarm must be repeated; lost messages are worse than everything else.
func TestGate(t *testing.T) {
	same := func() *Summary { return gateSummary(1, 0.99, 1.01, "tie", nil) }
	worse := func() *Summary { return gateSummary(1.1, 1.08, 1.12, "dearer", nil) }
	for _, c := range []struct {
		name         string
		first, again *Summary
		alarm        bool
		want         GateVerdict
	}{
		{"the same", same(), nil, false, GateNotWorse},
		{"worse twice", worse(), worse(), true, GateWorse},
		{"worse once", worse(), same(), true, GateNotWorse},
		{"worse, then nobody knows", worse(), gateSummary(1.1, 0.9, 1.2, "not resolved", nil), true, GateUndecided},
		{"lost", gateSummary(1, 0.99, 1.01, "tie", map[record.Reason]int{record.Lost: 1}), nil, false, GateViolated},
		{"lost in the second", worse(), gateSummary(1, 0.99, 1.01, "tie", map[record.Reason]int{record.Lost: 1}), true, GateViolated},
		{"starved", gateSummary(1, 0.99, 1.01, "tie", map[record.Reason]int{record.Starved: 1}), nil, false, GateUndecided},
	} {
		g := &Gate{Worse: 0.05, Baseline: "0123456789abcdef", Head: "fedcba9876543210"}
		if g.Verdict() != GateUndecided {
			t.Errorf("before anything: %s", g.Verdict())
		}
		g.Add(c.first, "epoll", "results/a", false)
		if g.Alarm("epoll") != c.alarm {
			t.Errorf("%s: alarm %v", c.name, !c.alarm)
		}
		if c.again != nil {
			g.Add(c.again, "epoll", "results/a-again", true)
		}
		if got := g.Verdict(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		var out strings.Builder
		g.Markdown(&out)
		for _, want := range []string{
			"## bench gate: " + string(c.want) + "\n", "Head `fedcba987654` against baseline `0123456789ab`.",
			"| epoll | window128 | CPU per delivery | 3500 µs/1000 |", "| 1.00 (0.99–1.01) | 8 |", "Raw files: results/a",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out.String())
			}
		}
	}
}
