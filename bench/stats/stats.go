// Package stats is the arithmetic behind every comparison that the bench prints:
// medians, paired log-ratios, the exact signed-rank test and the interval that
// inverts it, Holm's correction, the rule that turns them into a verdict,
// the smallest difference that a number of rounds can find, bands around whole curves, and samples
// that are not paired.
//
// It does not know what was measured: numbers in, numbers out, no clock, no
// files and no randomness except from fixed seeds, so that the same rounds give the
// same figures on every machine. Every function is pure and safe for any
// goroutine; none of them changes its arguments.
package stats

import (
	"math"
	"slices"
)

// Median is the middle value, or the mean of the two middle ones. NaN of nothing.
func Median(xs []float64) float64 { return Quantile(xs, 0.5) }

// Quantile is the q-quantile by linear interpolation between order statistics:
// x(h) with h = (n-1)q + 1, definition 7 of Hyndman and Fan, "Sample Quantiles
// in Statistical Packages", The American Statistician 50 (1996), which R and
// NumPy take by default. NaN of nothing.
func Quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(xs))
	return quantileSorted(sorted, q)
}

// quantileSorted is Quantile for sorted values.
func quantileSorted(sorted []float64, q float64) float64 {
	h := q * float64(len(sorted)-1)
	i := int(math.Floor(h))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	// Not lo + f*(hi-lo): that turns equal infinities into NaN.
	f := h - float64(i)
	if f == 0 {
		return sorted[i]
	}
	return sorted[i]*(1-f) + sorted[i+1]*f
}

// Deviation is the sample standard deviation (n-1). NaN of fewer than two values.
func Deviation(xs []float64) float64 {
	n := float64(len(xs))
	if n < 2 {
		return math.NaN()
	}
	m := mean(xs)
	var squares float64
	for _, x := range xs {
		squares += (x - m) * (x - m)
	}
	return math.Sqrt(squares / (n - 1))
}

func mean(xs []float64) float64 {
	var sum float64
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// Spread is the coefficient of variation: the standard deviation over the mean.
// NaN of fewer than two values.
func Spread(xs []float64) float64 { return Deviation(xs) / mean(xs) }

// LogRatios is ln(xs[i]/refs[i]), pair by pair. The logarithm makes "twice" and
// "half" equally far from 1, so that swapping the arms only changes the sign.
// Pairs in which either value is not positive and finite have no ratio and are
// left out.
func LogRatios(xs, refs []float64) []float64 {
	var out []float64
	for i := range min(len(xs), len(refs)) {
		if r := math.Log(xs[i] / refs[i]); xs[i] > 0 && refs[i] > 0 && !math.IsInf(r, 0) && !math.IsNaN(r) {
			out = append(out, r)
		}
	}
	return out
}
