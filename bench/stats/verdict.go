package stats

import (
	"fmt"
	"math"
)

// Margin is how much more than the reference may still be called a tie. As
// much less is a tie too: 1/(1+Margin), so that to swap the two changes nothing.
const Margin = 0.05

// Alpha is what a corrected p-value must not exceed to be called a difference.
const Alpha = 0.05

// TieBand is the ratios that count as no difference.
var TieBand = Interval{1 / (1 + Margin), 1 + Margin}

// Verdict is the one word a comparison comes to.
type Verdict string

const (
	Tie        Verdict = "tie"          // the whole interval lies within ±5 %
	Higher     Verdict = "higher"       // above the reference, beyond chance
	Lower      Verdict = "lower"        // below the reference, beyond chance
	Unresolved Verdict = "not resolved" // the rounds, or the machine, do not say
)

// Comparison is one arm against the reference in one figure.
type Comparison struct {
	N        int      // rounds in which both have the figure
	Ratio    float64  // arm / reference, the center of the rounds
	Interval Interval // of the ratio, at Level; none below six rounds
	P        float64  // two-sided, exact signed-rank
	Adjusted float64  // P after the correction for the family it was judged in
	Verdict  Verdict
	Why      string // what the verdict rests on, in a few words
}

// Compare is the comparison of pairs of rounds before Judge has judged it.
func Compare(xs, refs []float64) Comparison { return CompareRounds(LogRatios(xs, refs)) }

// CompareRounds is Compare of one log-ratio for each round.
func CompareRounds(logs []float64) Comparison {
	_, p, _ := SignedRank(logs)
	c := Comparison{
		N: len(logs), Ratio: math.Exp(Center(logs)),
		P: p, Adjusted: p, Verdict: Unresolved, Why: "not judged",
	}
	if i, ok := SignedRankInterval(logs, Level); ok {
		c.Interval = i.exp()
	}
	return c
}

// Question is a comparison of an arm with the reference, and beside it that of
// the reference with itself in the same figure.
type Question struct{ Arm, Again Comparison }

// Pairs is the fewest rounds with which one of so many comparisons can be called
// a difference, after Holm's correction; for no comparison as for one.
func Pairs(comparisons int) int { return pairsFor(Alpha / float64(max(comparisons, 1))) }

// Judge gives the comparisons of one family their corrected p-values and
// verdicts: the chance of even one false difference among all of them is at
// most Alpha.
func Judge(family []Question) []Comparison {
	ps := make([]float64, len(family))
	for i, q := range family {
		if ps[i] = 1; q.Arm.N > 0 {
			ps[i] = q.Arm.P
		}
	}
	judged := make([]Comparison, len(family))
	for i, adjusted := range Holm(ps) {
		c := family[i].Arm
		c.Adjusted = adjusted
		c.Verdict, c.Why = c.judge(family[i].Again, Pairs(len(family)))
		judged[i] = c
	}
	return judged
}

// judge is the rule. What the reference shows against itself is the error of
// this machine: no difference counts that reaches into it.
func (c Comparison) judge(again Comparison, pairs int) (Verdict, string) {
	switch {
	case c.N == 0:
		return Unresolved, "no round in which both have the figure"
	case !c.measured():
		return Unresolved, fmt.Sprintf("%d rounds are too few for an interval", c.N)
	case !again.measured():
		return Unresolved, fmt.Sprintf("%d rounds of the reference against itself are too few", again.N)
	case c.Interval.Within(TieBand) && !again.Passes():
		return Unresolved, "the reference differs from itself here"
	case c.Interval.Within(TieBand):
		return Tie, fmt.Sprintf("the interval lies within ±%.0f %%", 100*Margin)
	case c.Interval.Covers(1):
		return Unresolved, fmt.Sprintf("the interval holds 1 and reaches past ±%.0f %%", 100*Margin)
	case !c.Interval.Outside(again.floor()):
		return Unresolved, "the reference differs from itself as much"
	case c.Adjusted > Alpha && c.N < pairs:
		return Unresolved, fmt.Sprintf("%d rounds are too few, it takes %d", c.N, pairs)
	case c.Adjusted > Alpha:
		return Unresolved, fmt.Sprintf("corrected p %.3f", c.Adjusted)
	case c.Ratio > 1:
		return Higher, fmt.Sprintf("corrected p %.2g", c.Adjusted)
	}
	return Lower, fmt.Sprintf("corrected p %.2g", c.Adjusted)
}

// measured says whether there are rounds enough for an interval.
func (c Comparison) measured() bool { return c.Interval != Interval{} }

// floor is what an A/A comparison leaves to chance and to the machine: its
// interval, and whatever lies between that and 1.
func (c Comparison) floor() Interval { return c.Interval.with(1) }

// Passes says whether an A/A comparison is as it should be: its interval holds 1
// or lies within the band of a tie.
func (c Comparison) Passes() bool {
	return c.measured() && (c.Interval.Covers(1) || c.Interval.Within(TieBand))
}

// smallestP is the least two-sided p-value that n signed ranks can have.
func smallestP(n int) float64 { return math.Exp2(1 - float64(n)) }
