package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// The shift function of two arms is the ratio of their latencies at every
// percentile: K. A. Doksum, "Empirical Probability Plots and Statistical
// Inference for Nonlinear Models in the Two-Sample Case", Annals of Statistics 2
// (1974); G. A. Rousselet, C. R. Pernet and R. R. Wilcox, "Beyond differences in
// means: robust graphical methods to compare two groups in neuroscience",
// European Journal of Neuroscience 46 (2017). One message that is late makes a
// hundred deliveries late, so deliveries say nothing about chance: the unit is
// the round. Each has a curve of its own, and the band is around their mean.

const (
	shiftPoints = 40 // percentiles that are compared
	shiftFrom   = 0.01
)

// Shift is one shift function.
type Shift struct {
	Arm   string `json:"arm"`
	Again bool   `json:"again,omitempty"` // of the A/A arm
	// Rounds is the number of curves of which it is the mean: pairs of rounds within a run;
	// between two runs the rounds of the first and of the second.
	Rounds []int `json:"rounds"`
	// Reach is the share of messages at which the percentiles end.
	Reach  float64      `json:"reach"`
	Points []ShiftPoint `json:"points"`
}

// ShiftPoint is a ratio at one percentile. Low and High are of the simultaneous
// 95 % band; 0 if there are too few rounds for one.
type ShiftPoint struct {
	Share float64 `json:"share"` // of messages that are faster
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
}

// shifts returns the shift functions of all arms of a run against its reference under
// a load, including the A/A arm's; arms without a round in common with it have none.
func shifts(run *record.Run, load record.Load) (all []Shift) {
	for _, a := range run.Manifest.Arms {
		if a.Name == run.Manifest.Reference {
			continue
		}
		if s := shift(run, load, a); s != nil {
			all = append(all, *s)
		}
	}
	return all
}

// shift returns that of one arm; nil if it has no round in common with the reference.
func shift(run *record.Run, load record.Load, a record.Arm) *Shift {
	reference := run.Manifest.Reference
	shares := sharesTo(min(messages(run, load, a.Name), messages(run, load, reference)))
	curves := pairedCurves(run, load, a.Name, reference, shares)
	if len(curves) == 0 {
		return nil
	}
	band, _ := stats.Simultaneous(curves)
	s := newShift(a, shares, band, len(curves))
	return &s
}

// upTo returns a run as it was after a round.
func upTo(run *record.Run, round int) *record.Run {
	cut := *run
	cut.Rounds = slices.DeleteFunc(slices.Clone(run.Rounds), func(r record.Round) bool { return r.Round > round })
	return &cut
}

func newShift(a record.Arm, shares []float64, band stats.Band, rounds ...int) Shift {
	s := Shift{Arm: a.Name, Again: a.Again, Rounds: rounds, Reach: shares[len(shares)-1]}
	for i, share := range shares {
		p := ShiftPoint{Share: share, Ratio: math.Exp(band.Center[i])}
		if band.Low != nil {
			p.Low, p.High = math.Exp(band.Low[i]), math.Exp(band.High[i])
		}
		s.Points = append(s.Points, p)
	}
	return s
}

// stream is the stream of the latencies under a load.
func stream(load record.Load) string {
	switch {
	case load.Scenario == record.Idle:
		return record.StreamLogin
	case load.Closed():
		return record.StreamSent
	}
	return record.StreamDue
}

// messages is the lowest number of messages of the rounds of an arm that count: requests
// under a relay load, logins under an idle one. 0 if there is no such round.
func messages(run *record.Run, load record.Load, arm string) (fewest int64) {
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm != arm || r.Load != load.Name || !r.Counts() {
			continue
		}
		n := r.Traffic.Messages
		if load.Scenario == record.Idle {
			n = r.Traffic.Clients
		}
		if fewest == 0 || n < fewest {
			fewest = n
		}
	}
	return fewest
}

// sharesTo returns the percentiles that so many messages of a round determine, spaced evenly by the
// logarithm of the rest, so that the tail has as much room as the body. Empty if there are
// too few messages.
func sharesTo(messages int64) (shares []float64) {
	if reach(messages) <= shiftFrom {
		return nil
	}
	from, to := math.Log(1-shiftFrom), math.Log(1-reach(messages))
	for i := range shiftPoints {
		shares = append(shares, 1-math.Exp(from+(to-from)*float64(i)/(shiftPoints-1)))
	}
	return shares
}

// latencyCurves returns, for each round that counts, the logarithm of an arm's latency at
// each of the shares.
func latencyCurves(run *record.Run, load record.Load, arm string, shares []float64) map[int][]float64 {
	percentiles := make([]float64, len(shares))
	for i, share := range shares {
		percentiles[i] = 100 * share
	}
	curves := make(map[int][]float64)
	for i := range run.Rounds {
		r := &run.Rounds[i]
		h := run.Histograms[record.Key{Load: load.Name, Arm: arm, Stream: stream(load), StartedMs: r.StartedMs}]
		if r.Arm != arm || r.Load != load.Name || !r.Counts() || h == nil || h.TotalCount() == 0 {
			continue
		}
		var logs []float64
		for _, v := range h.ValueAtPercentilesSlice(percentiles) {
			logs = append(logs, math.Log(float64(max(v, 1))))
		}
		curves[r.Round] = logs
	}
	return curves
}

// pairedCurves returns, for each round that counts for both, the logarithm of the
// ratio of an arm's latency to another's at each of the shares.
func pairedCurves(run *record.Run, load record.Load, arm, other string, shares []float64) (curves [][]float64) {
	if len(shares) == 0 {
		return nil
	}
	own, others := latencyCurves(run, load, arm, shares), latencyCurves(run, load, other, shares)
	for _, round := range slices.Sorted(maps.Keys(own)) {
		if refs, ok := others[round]; ok {
			curve := make([]float64, len(shares))
			for g := range curve {
				curve[g] = own[round][g] - refs[g]
			}
			curves = append(curves, curve)
		}
	}
	return curves
}

// noShift is what words returns if there is nothing to report.
const noShift = "no difference is sure at any percentile"

// banded says whether there are enough rounds for a band.
func (s Shift) banded() bool { return s.Points[0].Low > 0 }

// at returns the point nearest to a share.
func (s Shift) at(share float64) ShiftPoint {
	return slices.MinFunc(s.Points, func(a, b ShiftPoint) int {
		return cmp.Compare(math.Abs(rest(a.Share)-rest(share)), math.Abs(rest(b.Share)-rest(share)))
	})
}

// rest is how many powers of ten the share of slower messages is below 1.
func rest(share float64) float64 { return -math.Log10(1 - share) }

// words says where the whole band lies on one side of 1, and outside the difference of the
// reference from itself: "faster from p1 to p50, slower from
// p99 to p99.7". again may be nil.
func (s Shift) words(again *Shift) string {
	if !s.banded() {
		return fmt.Sprintf("fewer than %d rounds have no band", stats.CurveRounds)
	}
	side := func(p ShiftPoint) string {
		floor := stats.Interval{Low: 1, High: 1}
		if again != nil && again.banded() {
			q := again.at(p.Share)
			floor = stats.Interval{Low: q.Low, High: q.High}.With(1)
		}
		switch {
		case p.High < floor.Low:
			return speed[0]
		case p.Low > floor.High:
			return speed[1]
		}
		return ""
	}
	var parts []string
	for from := 0; from < len(s.Points); {
		to := from
		for to+1 < len(s.Points) && side(s.Points[to+1]) == side(s.Points[from]) {
			to++
		}
		if word := side(s.Points[from]); word != "" {
			at := percentileName(s.Points[from].Share)
			if end := percentileName(s.Points[to].Share); end != at {
				at = "from " + at + " to " + end
			} else {
				at = "at " + at
			}
			parts = append(parts, word+" "+at)
		}
		from = to + 1
	}
	if parts == nil {
		return noShift
	}
	return strings.Join(parts, ", ")
}

// percentileName formats a share as a percentile, with more digits the nearer it
// is to 1: p1, p50, p99.3, p99.97.
func percentileName(share float64) string {
	digits := max(0, int(math.Floor(-math.Log10(1-share)+1e-9))-1)
	text := fmt.Sprintf("%.*f", digits, 100*share)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "100" { // rounded up to what there is not
		text = fmt.Sprintf("%.*f", digits+1, 100*share)
	}
	return "p" + text
}
