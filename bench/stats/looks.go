package stats

import (
	"math"
	"slices"
)

// Looks are the numbers of rounds after which a run that takes as many rounds as it
// needs may decide a question. Testing after every round at p ≤
// 0.05 would call equal servers different in one run of four.
var Looks = []int{8, 12, 16, 24, 32, 48}

// bounds is what a p-value must not exceed at any look, by the number of comparisons.
var bounds = []struct{ comparisons, p float64 }{{1, 0.0155}, {3, 0.0057}, {11, 0.0012}}

// Bound is what a p-value must not exceed at any of the Looks, nor at an end
// between two of them, so that the chance of even one false
// difference among that many comparisons stays near Alpha in all. Values between the
// known ones are interpolated by their logarithms; beyond them they are in proportion. TestLooks checks it
// with simulated runs.
func Bound(comparisons int) float64 {
	m, last := float64(max(comparisons, 1)), bounds[len(bounds)-1]
	for i := 1; i < len(bounds); i++ {
		if a, b := bounds[i-1], bounds[i]; m <= b.comparisons {
			share := math.Log(m/a.comparisons) / math.Log(b.comparisons/a.comparisons)
			return a.p * math.Pow(b.p/a.p, share)
		}
	}
	return last.p * last.comparisons / m
}

// JudgeAtLooks is Judge for a run that took as many rounds as it needed: the bound of
// the looks replaces Holm's correction. Adjusted is p scaled by
// that bound: at most Alpha where p is at most the bound.
//
// A tie can be wrong at each look as well, so its one-sided tests are made at the
// bound, which corresponds to the interval at 1-2·bound: of servers that are 5 % apart one
// family in twenty contains a tie. With the interval at 95 % it was one in four, with eleven comparisons.
func JudgeAtLooks(family []Question) []Comparison {
	judged, bound := make([]Comparison, len(family)), Bound(len(family))
	for i, q := range family {
		c := q.Arm
		c.Adjusted = math.Min(1, c.P*Alpha/bound)
		c.judge(q.Again, bound)
		judged[i] = c
	}
	return judged
}

// IsLook says whether a number of rounds is one of the Looks.
func IsLook(rounds int) bool { return slices.Contains(Looks, rounds) }

// PairsAtLooks is Pairs for a run that takes as many rounds as it needs.
func PairsAtLooks(comparisons int) int { return pairsFor(Bound(comparisons)) }

// pairsFor is the fewest rounds whose p-value can be as small as p.
func pairsFor(p float64) int {
	n := 1
	for smallestP(n) > p {
		n++
	}
	return n
}
