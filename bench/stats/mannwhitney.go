package stats

import (
	"math"
	"slices"
)

// Independent compares two samples of rounds that are not paired, such as those
// of two runs: the ratio of the second to the first. Both hold logarithms. The
// ratio is the Hodges-Lehmann estimate, the median of all differences between a
// value of one and a value of the other; its interval is the one that inverts
// the exact Mann-Whitney test (Hollander and Wolfe, "Nonparametric Statistical
// Methods", chapters 4.2 and 4.3), and there is none where either has fewer than
// six rounds. N is the rounds of both together.
func Independent(first, second []float64) Comparison {
	c := Comparison{N: len(first) + len(second), Ratio: math.NaN(), P: 1, Adjusted: 1, Verdict: Unresolved, Why: "not judged"}
	if len(first) == 0 || len(second) == 0 {
		c.N = 0
		return c
	}
	differences := make([]float64, 0, len(first)*len(second))
	for _, x := range first {
		for _, y := range second {
			differences = append(differences, y-x)
		}
	}
	slices.Sort(differences)
	c.Ratio = math.Exp(quantileSorted(differences, 0.5))
	ways := mannWhitney(len(first), len(second))
	c.P = rankSumP(differences, ways)
	c.Adjusted = c.P
	return c.with(func(level float64) (Interval, bool) {
		k := cutOf(ways, 1-level)
		if k == 0 || min(len(first), len(second)) < CurveRounds {
			return Interval{}, false
		}
		return Interval{differences[k-1], differences[len(differences)-k]}, true
	})
}

// rankSumP is the two-sided p-value of the hypothesis that both samples are of one
// distribution. An equal pair counts against a difference.
func rankSumP(differences, ways []float64) float64 {
	var up, down int // differences that are not above 0, and not below it
	for _, d := range differences {
		if d <= 0 {
			up++
		}
		if d >= 0 {
			down++
		}
	}
	p := 0.0
	for u := range min(up, down, len(ways)-1) + 1 {
		p += 2 * ways[u]
	}
	return math.Min(1, p)
}

// mannWhitney is the distribution of U, the number of pairs in which the second
// value is smaller, if m and n values are in random order: element u is
// the probability of u. The generating function is the Gaussian binomial
// coefficient, the product of (1-q^(n+i))/(1-q^i) for i from 1 to m.
func mannWhitney(m, n int) []float64 {
	ways := make([]float64, m*n+1)
	ways[0] = 1
	for i := 1; i <= m; i++ {
		for u := len(ways) - 1; u >= n+i; u-- {
			ways[u] -= ways[u-n-i]
		}
		for u := i; u < len(ways); u++ {
			ways[u] += ways[u-i]
		}
	}
	// Element u comes of those below it alone, so that the tail that is asked for
	// is of small whole numbers, without rounding. The other tail is its mirror.
	half, total := len(ways)/2, 0.0
	for u := range half {
		ways[len(ways)-1-u] = ways[u]
	}
	for _, w := range ways {
		total += w
	}
	for u := range ways {
		ways[u] /= total
	}
	return ways
}
