package report

import (
	"slices"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// exampleLaw is a law that scalingRun has no doubt of.
var exampleLaw = stats.USL{Lambda: 20e6, Sigma: 0.08, Kappa: 0.004}

// keepRounds leaves so many rounds of an arm.
func keepRounds(run *record.Run, arm string, n int) {
	run.Rounds = slices.DeleteFunc(run.Rounds, func(r record.Round) bool { return r.Arm == arm && r.Round > n })
}

// TestScalingDoubtsLaw: nothing is predicted from a law that does not follow the rates, or
// from too few rounds of one number of CPUs.
func TestScalingDoubtsLaw(t *testing.T) {
	steep := map[float64]float64{1: 10e6, 2: 22e6, 4: 50e6, 8: 120e6} // faster than the CPUs
	few := scalingRun(t, exampleLaw, 1, 2, 4, 8)
	keepRounds(few, "reactors@cpus=4", 1)
	for want, run := range map[string]*record.Run{
		"the law misses the rate with 1 CPU by 2":                                            scalingRates(t, func(n float64) float64 { return steep[n] }, 1, 2, 4, 8),
		"how sure the law is takes 6 rounds with each number of CPUs: with 4 CPUs 1 counted": few,
	} {
		s, text, _, _ := shown(t, run)
		law := s.Scaling[0].Law
		if law == nil || !law.Determined || law.Predicted != nil || law.Peak != nil {
			t.Errorf("%s: %+v", want, law)
		}
		if doubts := s.Scaling[0].Doubts; len(doubts) == 0 || !strings.HasPrefix(doubts[0], want) {
			t.Errorf("the doubts are %q, want %q", doubts, want)
		}
		if !strings.Contains(text, "Nothing is predicted, for the reasons above") {
			t.Errorf("the text does not say that nothing is predicted:\n%s", text)
		}
	}
}

// TestScalingPredictsFromMeasured: predictions are of multiples of the most CPUs that rounds
// count of.
func TestScalingPredictsFromMeasured(t *testing.T) {
	run := scalingRun(t, exampleLaw, 1, 2, 3, 4, 16)
	keepRounds(run, "reactors@cpus=16", 0)
	s := Summarize(run, nil).Scaling[0]
	if s.Law == nil || len(s.Law.Predicted) != 2 || s.Law.Predicted[0].CPUs != 8 || s.Law.Predicted[1].CPUs != 16 {
		t.Errorf("%+v, doubts %q", s.Law, s.Doubts)
	}
}

// TestScalingDoubtsThreads: two threads of a core are not two CPUs, and one whose core the
// generator uses is not one.
func TestScalingDoubtsThreads(t *testing.T) {
	for want, siblings := range map[string][]string{
		"": {"0: 0", "1: 1", "2: 2", "3: 3"}, // and the generator's core is its own
		"with 2 CPUs, CPUs 0 and 1 of the server are threads of one core":                          {"0: 0-1", "1: 0-1", "2: 2", "3: 3"},
		"with 4 CPUs, CPU 3 of the server and CPU 9 of the generator are threads of one core: the": {"0: 0", "1: 1", "3: 3,9", "9: 3,9"},
	} {
		run := scalingRun(t, exampleLaw, 1, 2, 3, 4)
		run.Env.Siblings = siblings
		s := Summarize(run, nil).Scaling[0]
		if predicts := s.Law.Predicted != nil; predicts != (want == "") {
			t.Errorf("siblings %q: predicts %v, doubts %q", siblings, predicts, s.Doubts)
		}
		if want != "" && (len(s.Doubts) == 0 || !strings.HasPrefix(s.Doubts[0], want)) {
			t.Errorf("siblings %q: doubts %q, want %q", siblings, s.Doubts, want)
		}
	}
}
