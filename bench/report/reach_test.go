package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
)

// TestReach: ten messages must lie beyond a percentile.
func TestReach(t *testing.T) {
	for messages, want := range map[int64]float64{0: 0, 9: 0, 10: 0, 20: 0.5, 1000: 0.99, 10_000: 0.999, 12_000: 1 - 10.0/12_000} {
		if got := reach(messages); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d messages reach %v, want %v", messages, got, want)
		}
	}
	if got := reachDecades(10_000); math.Abs(got-3) > 1e-9 {
		t.Errorf("10,000 messages reach %v decades", got)
	}
}

// TestTailsEndWhereMessagesDo: a hundred deliveries of one message are one
// event, so a percentile is shown as far as messages carry it: ten of all rounds
// beyond it, and one of each.
func TestTailsEndWhereMessagesDo(t *testing.T) {
	run := sample(t) // 8 rounds of 1000 messages, each to 100 clients
	said := func(messages int64) *Summary {
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Load == "fixed1000" {
				r.Traffic.Messages = messages
			}
		}
		return Summarize(run, nil)
	}
	for _, c := range []struct {
		messages  int64
		p99, p999 bool
	}{{1000, true, false}, {1250, true, true}, {125, true, false}, {124, false, false}, {99, false, false}} {
		a := said(c.messages).Loads[0].arm("epoll")
		_, p99 := a.Figures[keyP99]
		_, p999 := a.Figures[keyP999]
		_, sent := a.Figures["p99.9-sent-ns"]
		if _, p50 := a.Figures[keyP50]; p99 != c.p99 || p999 != c.p999 || sent != c.p999 || !p50 {
			t.Errorf("%d messages a round: p99 %v, p99.9 %v and %v from the send", c.messages, p99, p999, sent)
		}
		if p99 != (a.Figures[keyP99].Versus != nil) {
			t.Errorf("%d messages a round: a comparison of what is not shown, or none", c.messages)
		}
	}
	run.Rounds = append(run.Rounds, run.Rounds...) // twice as many rounds, none of which has one beyond
	for i := range run.Rounds {
		if i >= len(run.Rounds)/2 {
			run.Rounds[i].Round += 8
		}
	}
	if _, ok := said(999).Loads[0].arm("epoll").Figures[keyP999]; ok {
		t.Error("the slowest message of each round passes for its p99.9")
	}
	for line := range strings.Lines(string(benchText(run))) {
		if strings.Contains(line, "load=fixed1000") && (strings.Contains(line, " p99.9-ns") || !strings.Contains(line, " p99-ns")) {
			t.Fatalf("the line of a round of 999 messages: %s", line)
		}
	}
}

// TestCurvesEndWhereMessagesDo: on a terminal too.
func TestCurvesEndWhereMessagesDo(t *testing.T) {
	l := Summarize(sample(t), nil).Loads[0]
	curves := l.curves(false)
	if len(curves) != 2 || decades(curves) != 2 || math.Abs(curves[0].reach-math.Log10(800)) > 1e-9 {
		t.Errorf("8000 messages of each arm: %v decades, %+v", decades(curves), curves)
	}
	dots := func(end float64) (n int) {
		p := newCanvas(10, 4)
		p.line(func(x float64) float64 { return x }, end, 0)
		for _, cell := range p.dots {
			for ; cell != 0; cell &= cell - 1 {
				n++
			}
		}
		return n
	}
	if whole, half := dots(1), dots(0.5); half == 0 || half > whole/2+2 {
		t.Errorf("%d dots of a line that ends in the middle, %d of the whole", half, whole)
	}
}

// TestSlicesOfFewMessages: the p99 of a slice of twenty messages is its slowest,
// so arms are compared in the p99 of their rounds; p50 is compared slice by slice.
func TestSlicesOfFewMessages(t *testing.T) {
	load := record.Load{Name: "fixed1", Scenario: record.Broadcast, Rate: 1, Slices: 2, Clients: 1, Duration: time.Second}
	run := &record.Run{Manifest: record.Manifest{Reference: "ref", Loads: []record.Load{load}, Arms: []record.Arm{{Name: "ref"}, {Name: "arm"}, {Name: "ref.aa", Again: true}}, Rules: record.SliceRules()}}
	for round := 1; round <= 8; round++ {
		for _, a := range run.Manifest.Arms {
			whole, slice := int64(1000), int64(100)
			if a.Name == "arm" {
				whole, slice = 2*whole, 3*slice
			}
			r := record.Round{Round: round, Load: load.Name, Arm: a.Name, Wall: time.Second, Due: record.Latency{Count: 1, P50: whole, P99: whole}}
			for block := 1; block <= 2; block++ {
				r.Slices = append(r.Slices, record.Slice{Block: block, Messages: 200, P50: slice, P99: slice, Deliveries: 1, CPU: 1})
				r.Traffic.Messages += 200
			}
			run.Rounds = append(run.Rounds, r)
		}
	}
	ratio := func(key string) float64 { return judgeLoad(run, load).Arms[1].Figures[key].Versus.Ratio }
	if p50, p99 := ratio(keyP50), ratio(keyP99); math.Abs(p50-3) > 1e-9 || math.Abs(p99-3) > 1e-9 {
		t.Errorf("200 messages in a slice: p50 %v, p99 %v, want those of the slices", p50, p99)
	}
	for i := range run.Rounds {
		for j := range run.Rounds[i].Slices {
			run.Rounds[i].Slices[j].Messages = 99
		}
	}
	if p50, p99 := ratio(keyP50), ratio(keyP99); math.Abs(p50-3) > 1e-9 || math.Abs(p99-2) > 1e-9 {
		t.Errorf("99 messages in a slice: p50 %v, want that of the slices, p99 %v, want that of the rounds", p50, p99)
	}
}
