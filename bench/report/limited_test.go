package report

import (
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/rules"
)

// TestLimited: if a CPU limit stopped the server, the summary says once what to do about that, and tells nobody to
// stop what else runs, which did nothing; the run was too disturbed, and no server is to blame.
func TestLimited(t *testing.T) {
	for _, c := range []struct {
		name               string
		share              float64
		limited, disturbed int // of eight rounds of each arm and load
		line               string
		hint               bool
	}{
		{"no limit", 0, 0, 0, "", false},
		{"others", 0, 0, 2, "", true},
		{"hardly stopped", 0.01, 8, 0, "", false},
		{"somewhat, and all rounds count", 0.04, 8, 0, "stopped the server in 48 of 48 rounds, for up to 4 % of the time; measure without a limit, or with one above 2 CPUs", false},
		{"stopped", 0.23, 8, 0, "stopped the server in 48 of 48 rounds, for up to 23 % of the time; measure without a limit, or with one above 2 CPUs", false},
		{"somewhat, and others void fewer rounds", 0.04, 4, 2, "in 24 of 48 rounds", true},
		{"stopped at times, others at others", 0.23, 1, 2, "in 6 of 48 rounds", true},
	} {
		run := sample(t)
		for i := range run.Rounds {
			r := &run.Rounds[i]
			if r.Arm == record.NullArm {
				continue
			}
			load, _ := run.Load(r.Load)
			foreign := 0.9
			if r.Round <= c.limited {
				r.Usage.Throttled = &c.share
				if r.Round == 1 && c.share > 0.05 { // a server that does not keep up for it
					r.Traffic.Deliveries /= 2
				}
			} else if r.Round <= c.limited+c.disturbed {
				r.Usage.Foreign = &foreign
			}
			r.Void, r.Marks = rules.Judge(*r, load, run.Manifest.Rules, 0)
		}
		s := Summarize(run, nil)
		if s.Violated() || s.Disturbed() != (c.share > 0.05 && c.limited == 8) {
			t.Errorf("%s: violated %v, disturbed %v: %v", c.name, s.Violated(), s.Disturbed(), s.Checks.Void)
		}
		said := text(s, Style{})
		if n := strings.Count(said, "CPU limit"); n > 1 || (n == 1) != (c.line != "") || !strings.Contains(said, c.line) {
			t.Errorf("%s: no %q once in\n%s", c.name, c.line, said)
		}
		if strings.Contains(said, "stop what else runs here") != c.hint {
			t.Errorf("%s: hint %v\n%s", c.name, !c.hint, said)
		}
		g := &Gate{Worse: 0.05}
		g.Add(s, "epoll", "results/a", false)
		if notes := strings.Join(g.Notes, "\n"); !strings.Contains(notes, c.line) || strings.Contains(notes, "CPU limit") != (c.line != "") {
			t.Errorf("%s: the gate says %q", c.name, notes)
		}
	}
}
