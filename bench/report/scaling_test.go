package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// scalingRun is scalingRates of a law.
func scalingRun(t *testing.T, law stats.USL, counts ...int) *record.Run {
	t.Helper()
	return scalingRates(t, law.At, counts...)
}

// scalingRates is a run that nobody measured: eight rounds of one backend on several numbers of
// CPUs, its rates with 2 % of noise, the generator on CPU 9.
func scalingRates(t *testing.T, rate func(n float64) float64, counts ...int) *record.Run {
	t.Helper()
	run := sample(t)
	run.Rounds, run.Manifest.Arms, run.Manifest.Loads = nil, nil, run.Manifest.Loads[1:]
	run.Manifest.GeneratorCPUs = []int{9}
	for _, n := range counts {
		var cpus []int
		for c := range n {
			cpus = append(cpus, c)
		}
		run.Manifest.Arms = append(run.Manifest.Arms, record.Arm{Name: fmt.Sprintf("reactors@cpus=%d", n), Backend: "reactors", Scales: "reactors", CPUs: cpus})
	}
	again := run.Manifest.Arms[0]
	again.Name, again.Again = again.Name+record.AgainSuffix, true
	run.Manifest.Arms, run.Manifest.Reference = append(run.Manifest.Arms, again), run.Manifest.Arms[0].Name
	source := rand.New(rand.NewPCG(3, 4))
	addRound(t, run, source, 1, "window128", record.NullArm, 1e9, 1)
	for round := 1; round <= 8; round++ {
		for _, a := range run.Manifest.Arms {
			n := float64(len(a.CPUs))
			addRound(t, run, source, round, "window128", a.Name, rate(n), 1e9*n/rate(n))
		}
	}
	return run
}

// shown is a summary in each of its forms.
func shown(t *testing.T, run *record.Run) (s *Summary, text, markdown, html5 string) {
	t.Helper()
	s = Summarize(run, nil)
	var a, b bytes.Buffer
	s.Text(&a, Style{Width: 120}, "")
	s.Markdown(&b, run)
	page, err := s.html(run)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	return s, a.String(), b.String(), html.UnescapeString(string(page))
}

// TestScaling: from four numbers of CPUs on the law comes back from the records, with
// intervals and what it predicts, in every form.
func TestScaling(t *testing.T) {
	law := stats.USL{Lambda: 20e6, Sigma: 0.08, Kappa: 0.004}
	s, text, markdown, page := shown(t, scalingRun(t, law, 1, 2, 4, 8))
	if len(s.Scaling) != 1 || len(s.Scaling[0].Points) != 4 || s.Scaling[0].Law == nil {
		t.Fatalf("%+v", s.Scaling)
	}
	got, points := s.Scaling[0].Law, s.Scaling[0].Points
	if !got.Determined || s.Scaling[0].Doubts != nil {
		t.Fatalf("determined %v, doubts %q", got.Determined, s.Scaling[0].Doubts)
	}
	for name, c := range map[string]struct {
		e         Estimate
		want, off float64
	}{
		"lambda": {got.Lambda, law.Lambda, 1e6}, "sigma": {got.Sigma, law.Sigma, 0.03}, "kappa": {got.Kappa, law.Kappa, 0.003},
		"at 16": {got.Predicted[0].Rate, law.At(16), 0.15 * law.At(16)}, "peak": {*got.Peak, law.Peak(), 6},
	} {
		if math.Abs(c.e.Value-c.want) > c.off {
			t.Errorf("%s is %v, want %v", name, c.e.Value, c.want)
		}
		if c.e.Low == nil || *c.e.Low > c.e.Value || c.e.High != nil && *c.e.High < c.e.Value {
			t.Errorf("%s has an interval without it: %+v", name, c.e)
		}
	}
	if p := points[1]; p.CPUs != 2 || p.Limit != "server" || math.Abs(p.Speedup-law.At(2)/law.At(1)) > 0.05 {
		t.Errorf("%+v", p)
	}
	for form, got := range map[string]string{"terminal": text, "Markdown": markdown, "page": page} {
		for _, want := range []string{"reactors by the CPUs of its server", "The law: λ = ", "redicted with 16 CPUs", "the most with"} {
			if !strings.Contains(got, want) {
				t.Errorf("the %s does not say %q", form, want)
			}
		}
	}
	if !strings.Contains(page, "Deliveries a second of reactors by the CPUs of its server") {
		t.Error("the page has no plot of it")
	}
}

// TestScalingUndetermined: two numbers of CPUs give σ under κ = 0, and no prediction; a CPU
// that the generator shares is said wherever the figures are.
func TestScalingUndetermined(t *testing.T) {
	run := scalingRun(t, stats.USL{Lambda: 20e6, Sigma: 0.2}, 1, 2)
	run.Manifest.GeneratorCPUs = []int{1}
	s, text, markdown, page := shown(t, run)
	law := s.Scaling[0].Law
	if law == nil || law.Determined || law.Predicted != nil || law.Peak != nil || law.Kappa.Value != 0 || math.Abs(law.Sigma.Value-0.2) > 0.05 {
		t.Errorf("%+v", law)
	}
	if !s.Scaling[0].Points[1].Shared || s.Scaling[0].Points[0].Shared || s.Scaling[0].Points[1].Limit != "pair" {
		t.Errorf("%+v", s.Scaling[0].Points)
	}
	for form, got := range map[string]string{"terminal": text, "Markdown": markdown, "page": page} {
		got = strings.Join(strings.Fields(strings.ReplaceAll(got, `\`, "")), " ")
		for _, want := range []string{"The law is not determined", "othing is predicted", "With 2 CPUs the server shared a CPU with the generator", "the generator had a CPU of the server's under reactors@cpus=2"} {
			if !strings.Contains(got, want) {
				t.Errorf("the %s does not say %q", form, want)
			}
		}
		if strings.Contains(got, "redicted with") {
			t.Errorf("the %s predicts", form)
		}
	}
	for _, c := range s.Checks.Checks {
		if c.Name == "CPUs of their own" && c.OK {
			t.Error("the check says that all had CPUs of their own")
		}
	}
}

// TestScalingDoubts: where the generator was the limit, the law is shown and predicts nothing.
func TestScalingDoubts(t *testing.T) {
	run := scalingRun(t, stats.USL{Lambda: 20e6, Sigma: 0.05, Kappa: 0.001}, 1, 2, 4, 8)
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == "reactors@cpus=8" {
			r.Traffic.GeneratorBusy, *r.Usage.CPU = 1, *r.Usage.CPU/20
		}
	}
	s, text, _, _ := shown(t, run)
	if law := s.Scaling[0].Law; law == nil || !law.Determined || law.Predicted != nil || !s.Scaling[0].Points[3].AtLeast {
		t.Errorf("%+v, %+v", law, s.Scaling[0].Points[3])
	}
	if !strings.Contains(text, "the generator was a limit") || !strings.Contains(text, "Nothing is predicted, for the reasons above") {
		t.Errorf("the doubts are not said:\n%s", text)
	}
	if s := Summarize(sample(t), nil); s.Scaling != nil {
		t.Errorf("a run whose arms have all the same CPUs scales: %+v", s.Scaling)
	}
}

// TestCPUsOfArms: what depends on a server's CPUs goes by those of the arm.
func TestCPUsOfArms(t *testing.T) {
	m := scalingRun(t, stats.USL{Lambda: 1e6}, 1, 4).Manifest
	m.GeneratorCPUs = []int{3}
	if n := len(m.CPUsOf("reactors@cpus=4")); n != 4 || len(m.CPUsOf(record.NullArm)) != 1 || len(m.ServersCPUs()) != 4 {
		t.Errorf("%d CPUs; of the null server %v; of all %v", n, m.CPUsOf(record.NullArm), m.ServersCPUs())
	}
	if m.Shares("reactors@cpus=1") || !m.Shares("reactors@cpus=4") || !m.AnyShares() {
		t.Error("which arms share a CPU with the generator is wrong")
	}
	if a, b := m.RulesOf("reactors@cpus=1"), m.RulesOf("reactors@cpus=4"); a != m.Rules || b.ForeignMax != 1 || b.GeneratorMax != 0 {
		t.Errorf("rules %+v and %+v", a, b)
	}
}
