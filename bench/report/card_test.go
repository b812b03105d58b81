package report

import (
	"strings"
	"testing"

	"chatbench/bench/record"
)

// TestCardOfDisturbedRun: a run that was too disturbed gives a card
// figures and no verdicts, and the card says why.
func TestCardOfDisturbedRun(t *testing.T) {
	for _, void := range []int{3, 5} { // of eight rounds
		run := sample(t)
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Round > 8-void && r.Arm != record.NullArm {
				r.Void = []record.Reason{record.Steal}
			}
		}
		disturbed := void == 5
		if s := Summarize(run, nil); s.Disturbed() != disturbed || MostlyVoid(run) != disturbed {
			t.Fatalf("%d void: disturbed %v, mostly void %v", void, s.Disturbed(), MostlyVoid(run))
		}
		c := &Card{Backend: "epoll"}
		if err := c.AddRun(run); err != nil {
			t.Fatal(err)
		}
		verdicts := 0
		for _, l := range c.Loads {
			for _, f := range l.Figures {
				if f.Own.Versus != nil || f.Verdict != "—" || f.Ratio != "—" {
					verdicts++
				}
			}
		}
		if none := verdicts == 0; none != disturbed || c.Measured[0].Disturbed != disturbed || strings.Contains(string(c.Markdown()), "too disturbed to say anything") != disturbed {
			t.Errorf("%d void: %d verdicts, %+v\n%s", void, verdicts, c.Measured, c.Markdown())
		}
	}
}
