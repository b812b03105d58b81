package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
)

// stretch makes the latencies of an arm those of the reference in the same
// round, times by of their percentile, and times noise of the round's own.
func stretch(t *testing.T, run *record.Run, load, arm, other string, by func(share float64) float64) {
	t.Helper()
	l, _ := run.Load(load)
	source := rand.New(rand.NewPCG(3, 5))
	base := make(map[int]float64) // what the machine is like in a round
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Load != load || r.Arm != arm && r.Arm != other {
			continue
		}
		if base[r.Round] == 0 {
			base[r.Round] = 400_000 * math.Exp(0.3*source.NormFloat64())
		}
		h := hdrhistogram.New(1, int64(10*time.Second), 3)
		own := math.Exp(0.01 * source.NormFloat64())
		const n = 4000
		for k := range n {
			share := (float64(k) + 0.5) / n
			v := base[r.Round] * own * (1 + 2*-math.Log10(1-share))
			if r.Arm == arm {
				v *= by(share)
			}
			if err := h.RecordValue(int64(v)); err != nil {
				t.Fatal(err)
			}
		}
		run.Histograms[record.Key{Load: load, Arm: r.Arm, Stream: stream(l), StartedMs: r.StartedMs}] = h
	}
}

// shiftOf gives the shift of an arm.
func shiftOf(t *testing.T, all []Shift, arm string) Shift {
	t.Helper()
	for _, s := range all {
		if s.Arm == arm {
			return s
		}
	}
	t.Fatalf("no shift of %s", arm)
	return Shift{}
}

// TestShift: an arm that is faster in the body and slower in the tail is shown so,
// although the rounds differ from one another by far more.
func TestShift(t *testing.T) {
	run := sample(t)
	stretch(t, run, "fixed1000", "epoll", "goroutine", func(share float64) float64 {
		if share > 0.9 {
			return 1.5
		}
		return 0.8
	})
	load := run.Manifest.Loads[0]
	s := shiftOf(t, shifts(run, load), "epoll")
	if len(s.Points) != shiftPoints || s.Rounds[0] != 8 || math.Abs(s.Reach-0.99) > 1e-9 {
		t.Fatalf("%d points, rounds %v, to %v; 1000 messages carry p99", len(s.Points), s.Rounds, s.Reach)
	}
	for _, p := range s.Points {
		want := 0.8
		if p.Share > 0.9 {
			want = 1.5
		}
		if math.Abs(p.Share-0.9) > 0.02 && (p.Low > want || p.High < want || p.High/p.Low > 1.2 || math.Abs(p.Ratio/want-1) > 0.03) {
			t.Errorf("%s: %.3f (%.3f–%.3f), want %v", percentileName(p.Share), p.Ratio, p.Low, p.High, want)
		}
	}
	if says := s.words(nil); !strings.HasPrefix(says, "faster from p1 to p8") || !strings.HasSuffix(says, " to p99") || !strings.Contains(says, "slower from p9") {
		t.Errorf("in words: %s", says)
	}
	again := shiftOf(t, shifts(run, load), "goroutine.aa")
	if !again.Again {
		t.Errorf("A/A: %+v", again)
	}
	wide := again // as if the machine doubled what it measured
	wide.Points = slices.Clone(again.Points)
	for i := range wide.Points {
		wide.Points[i].Low, wide.Points[i].High = 0.5, 2
	}
	if says := s.words(&wide); !strings.HasPrefix(says, "no difference") {
		t.Errorf("the reference differs from itself as much: %s", says)
	}
	panels := shiftPlots(shifts(run, load), func(string) *Shift { return nil })
	if len(panels) != 2 || !strings.Contains(string(panels[0]), "faster from p1") || strings.Contains(string(panels[0]), "NaN") {
		t.Errorf("%d panels: %s", len(panels), panels)
	}
	for i := range run.Rounds { // five rounds are left
		if r := &run.Rounds[i]; r.Arm == "epoll" && r.Round <= 3 {
			r.Void = []record.Reason{record.Steal}
		}
	}
	if s := shiftOf(t, shifts(run, load), "epoll"); s.banded() || s.Rounds[0] != 5 || math.Abs(s.Points[0].Ratio-0.8) > 0.03 {
		t.Errorf("of five rounds: %+v", s.Points[0])
	}
}

func TestPercentileNames(t *testing.T) {
	for share, want := range map[float64]string{0.01: "p1", 0.5: "p50", 0.99: "p99", 0.993: "p99.3", 0.9996: "p99.96", 0.999: "p99.9", 0.896: "p90", 0.9951: "p99.5"} {
		if got := percentileName(share); got != want {
			t.Errorf("%v is %s, want %s", share, got, want)
		}
	}
	if sharesTo(10) != nil || sharesTo(0) != nil {
		t.Error("ten messages carry a percentile")
	}
	if shares := sharesTo(12_000); math.Abs(shares[0]-0.01) > 1e-12 || math.Abs(shares[shiftPoints-1]-(1-10.0/12_000)) > 1e-12 {
		t.Errorf("12000 messages carry %v", shares)
	}
}

// TestShiftOfReferences: in the committed runs all arms have a shift,
// process and thread are slower, and the reference does not certainly differ from
// itself.
func TestShiftOfReferences(t *testing.T) {
	run, _, err := record.Read("testdata/schema2-broadcast")
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range run.Manifest.Loads {
		all := shifts(run, load)
		if len(all) != len(run.Manifest.Arms)-1 {
			t.Errorf("%s: %d shifts of %d arms", load.Name, len(all), len(run.Manifest.Arms))
		}
		again := shiftOf(t, all, "goroutine.aa")
		if says := again.words(nil); !strings.HasPrefix(says, "no difference") {
			t.Errorf("%s, A/A: %s", load.Name, says)
		}
		for _, arm := range []string{"process", "thread"} {
			if says := shiftOf(t, all, arm).words(&again); !strings.HasPrefix(says, "slower") {
				t.Errorf("%s, %s: %s", load.Name, arm, says)
			}
		}
	}
}
