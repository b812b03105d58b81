package stats

import (
	"math"
	"slices"
)

// Level is the confidence of the intervals the bench prints.
const Level = 0.95

// Interval is a confidence interval, including both ends. The zero Interval means that
// there is none: no ratio is 0.
type Interval struct {
	Low, High float64
}

// Covers says whether x lies in the interval.
func (i Interval) Covers(x float64) bool { return i.Low <= x && x <= i.High }

// Within says whether the whole interval lies in other.
func (i Interval) Within(other Interval) bool { return other.Low <= i.Low && i.High <= other.High }

// Outside says whether the two have no point in common.
func (i Interval) Outside(other Interval) bool { return i.High < other.Low || other.High < i.Low }

// With is the interval stretched as far as x.
func (i Interval) With(x float64) Interval {
	return Interval{math.Min(i.Low, x), math.Max(i.High, x)}
}

// exp converts an interval of log-ratios to one of ratios.
func (i Interval) exp() Interval { return Interval{math.Exp(i.Low), math.Exp(i.High)} }

// walsh is the mean of every pair of values, each value with itself too, in
// order: J. E. Walsh, "Some Significance Tests for the Median which are Valid
// under Very General Conditions", Annals of Mathematical Statistics 20 (1949).
func walsh(xs []float64) []float64 {
	means := make([]float64, 0, len(xs)*(len(xs)+1)/2)
	for i, x := range xs {
		for _, y := range xs[i:] {
			means = append(means, x/2+y/2)
		}
	}
	slices.Sort(means)
	return means
}

// Center is the median of the Walsh averages (J. L. Hodges and E. L. Lehmann,
// "Estimates of Location Based on Rank Tests", Annals of Mathematical
// Statistics 34 (1963)): the value that the signed-rank test rejects least,
// so it always lies in SignedRankInterval. NaN of nothing.
func Center(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	return quantileSorted(walsh(xs), 0.5)
}

// SignedRankInterval contains every center that the exact signed-rank test does
// not reject at 1-level: it goes from the k-th smallest Walsh average to the
// k-th largest, with k as large as the level allows (J. W. Tukey, "The Simplest
// Signed-Rank Tests", 1949; Hollander and Wolfe, "Nonparametric Statistical
// Methods", chapter 3.3). So it contains 0 exactly if p > 1-level, unless
// differences are equal or 0. ok is false if there are too few values for the
// level: below 6 for 95 %.
func SignedRankInterval(xs []float64, level float64) (i Interval, ok bool) {
	k := cut(len(xs), 1-level)
	if k == 0 {
		return Interval{}, false
	}
	means := walsh(xs)
	return Interval{means[k-1], means[len(means)-k]}, true
}

// cut is how many of the smallest sums of n signed ranks have a probability,
// both tails together, of at most alpha.
func cut(n int, alpha float64) int {
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	return cutOf(rankSums(ranks), alpha)
}

// cutOf is cut of a symmetric distribution: element s is the probability of s.
func cutOf(shares []float64, alpha float64) (k int) {
	below := 0.0
	for _, share := range shares {
		if below += 2 * share; below > alpha {
			break
		}
		k++
	}
	return k
}
