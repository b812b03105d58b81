package report

import (
	"bytes"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// withPilot gives the open loop of a sample a rate that a pilot chose.
func withPilot(run *record.Run, rate float64, p *record.Pilot) *record.Run {
	l := &run.Manifest.Loads[0]
	was := l.Name
	l.Rate, run.Manifest.Pilot = rate, p
	if rate != 1000 {
		l.Name = "fixed2000"
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Load == was {
				r.Load = l.Name
			}
		}
	}
	return run
}

// TestPilot: every form says how the rate was chosen, or that none could be.
func TestPilot(t *testing.T) {
	chosen := &record.Pilot{Arm: "goroutine", Rate: 1000, Why: "the server uses 27 % of its CPU", Tried: []record.PilotRate{
		{Rate: 200, Slices: 4}, {Rate: 1000, Slices: 4, Disturbed: true}, {Rate: 1000, Slices: 4}}}
	none := &record.Pilot{Arm: "goroutine", Rate: 1000, Why: "nothing was decided in 6 tries", Tried: []record.PilotRate{{Rate: 1000, Slices: 4, Disturbed: true}}}
	fails := &record.Pilot{Arm: "goroutine", Rate: 1000, Why: "the server fails at every rate that was tried: gone", Tried: []record.PilotRate{{Rate: 1000, Slices: 4, Error: "gone"}}}
	for want, p := range map[string]*record.Pilot{
		"he pilot, with goroutine, chose 1000 messages/s: the server uses 27 % of its CPU.":                      chosen,
		"he pilot found no rate, so it is 1000 messages/s: nothing was decided in 6 tries.":                      none,
		"he pilot found no rate, so it is 1000 messages/s: the server fails at every rate that was tried: gone.": fails,
	} {
		run := withPilot(sample(t), 1000, p)
		s := Summarize(run, nil)
		var markdown, pair, runs bytes.Buffer
		s.Markdown(&markdown, run)
		page, err := s.html(run)
		if err != nil {
			t.Fatal(err)
		}
		compared := ComparePair(run, sample(t), "a", "b")
		comparedPage, err := compared.HTML()
		if err != nil {
			t.Fatal(err)
		}
		compared.Text(&pair, Style{Width: 120})
		WriteCompared(&runs, Compare([]*record.Run{run}, []string{"a"}), Style{})
		for form, said := range map[string]string{
			"text": text(s, Style{}), "Markdown": markdown.String(), "page": string(page), "compare": pair.String(), "its page": string(comparedPage), "all runs": runs.String(),
		} {
			if strings.Count(strings.Join(strings.Fields(said), " "), want) != 1 {
				t.Errorf("%s does not say once: %s\n%.3000s", form, want, said)
			}
		}
	}
	if said := text(Summarize(sample(t), nil), Style{}); strings.Contains(said, "pilot") {
		t.Errorf("the rate was given:\n%s", said)
	}
}

// TestPilotsDiffer: two runs that have nothing between them but the rates that
// their pilots chose are told to be given one.
func TestPilotsDiffer(t *testing.T) {
	const want = "loads fixed1000 and fixed2000 differ only in the rate that a pilot chose: measure both runs with -rate 1000 to compare them."
	pilot := func(rate float64) *record.Pilot { return &record.Pilot{Arm: "goroutine", Rate: rate, Why: "so"} }
	a, b := withPilot(sample(t), 1000, pilot(1000)), withPilot(sampleOf(t, 2), 2000, pilot(2000))
	if p := ComparePair(a, b, "a", "b"); len(p.Advice) != 1 || p.Advice[0] != want {
		t.Errorf("%q", p.Advice)
	}
	b.Manifest.Loads[0].Size = 1000
	if p := ComparePair(a, b, "a", "b"); p.Advice != nil {
		t.Errorf("another size: %q", p.Advice)
	}
	b.Manifest.Loads[0].Size = a.Manifest.Loads[0].Size
	a.Manifest.Pilot, b.Manifest.Pilot = nil, nil
	if p := ComparePair(a, b, "a", "b"); p.Advice != nil {
		t.Errorf("the rates were given: %q", p.Advice)
	}
}
