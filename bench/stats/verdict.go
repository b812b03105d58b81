package stats

import (
	"fmt"
	"math"
)

// Margin is how far a ratio may be from 1 and still be called a tie.
const Margin = 0.05

// Alpha is what a corrected p-value must not exceed to be called a difference.
const Alpha = 0.05

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
	Ratio    float64  // median over rounds of arm / reference
	Interval Interval // of the ratio, at Level
	P        float64  // two-sided, exact signed-rank
	Adjusted float64  // P after Holm, over all backends of the run
	Verdict  Verdict
	Why      string // what the verdict rests on, in a few words
}

// Compare is the comparison of pairs of rounds before Adjust has judged it.
func Compare(xs, refs []float64, seed uint64) Comparison {
	logs := LogRatios(xs, refs)
	_, p, _ := SignedRank(logs)
	return Comparison{
		N:        len(logs),
		Ratio:    math.Exp(Median(logs)),
		Interval: BootstrapMedian(logs, Level, Resamples, seed).exp(),
		P:        p,
		Adjusted: p,
		Verdict:  Unresolved,
		Why:      "not judged",
	}
}

// Pairs is the fewest rounds with which one of so many comparisons can be called
// a difference, after Holm's correction; for no comparison as for one.
func Pairs(comparisons int) int {
	n := 1
	for smallestP(n)*float64(max(comparisons, 1)) > Alpha {
		n++
	}
	return n
}

// Judge gives the comparisons of all backends in one figure their corrected
// p-values and verdicts. again is the A/A comparison of the same figure: the
// reference against itself. Where it fails nothing is resolved, however small
// a p-value is.
func Judge(backends []Comparison, again Comparison) []Comparison {
	ps := make([]float64, len(backends))
	for i, c := range backends {
		ps[i] = c.P
	}
	judged := make([]Comparison, len(backends))
	for i, adjusted := range Holm(ps) {
		c := backends[i]
		c.Adjusted = adjusted
		c.Verdict, c.Why = c.judge(again)
		judged[i] = c
	}
	return judged
}

// judge is the rule. The order matters: nothing is said where the machine
// cannot hold two equal servers equal.
func (c Comparison) judge(again Comparison) (Verdict, string) {
	margin := fmt.Sprintf("±%.0f %%", 100*Margin)
	switch {
	case c.N == 0:
		return Unresolved, "no round in which both have the figure"
	case again.N == 0:
		return Unresolved, "no round of the reference against itself"
	case !again.Passes():
		return Unresolved, "the reference differs from itself here"
	case c.N > 1 && c.Interval.Within(1-Margin, 1+Margin):
		return Tie, "the interval lies within " + margin
	case c.Interval.Covers(1):
		return Unresolved, "the interval holds 1 and reaches past " + margin
	case c.Adjusted > Alpha && smallestP(c.N) > Alpha:
		return Unresolved, fmt.Sprintf("%d rounds are too few for p ≤ %.2f", c.N, Alpha)
	case c.Adjusted > Alpha:
		return Unresolved, fmt.Sprintf("corrected p %.3f", c.Adjusted)
	case c.Ratio > 1:
		return Higher, fmt.Sprintf("corrected p %.2g", c.Adjusted)
	}
	return Lower, fmt.Sprintf("corrected p %.2g", c.Adjusted)
}

// Passes says whether an A/A comparison is as it must be: its interval holds 1
// or lies within the margin of a tie.
func (c Comparison) Passes() bool {
	return c.N > 0 && (c.Interval.Covers(1) || c.Interval.Within(1-Margin, 1+Margin))
}

// Resolution is the smallest relative difference an A/A comparison leaves room
// for: the far end of its interval, as |ratio - 1|. "This machine resolves
// ±Resolution."
func (c Comparison) Resolution() float64 {
	return math.Max(math.Abs(c.Interval.Low-1), math.Abs(c.Interval.High-1))
}

// smallestP is the least two-sided p-value that n signed ranks can have.
func smallestP(n int) float64 { return math.Exp2(1 - float64(n)) }
