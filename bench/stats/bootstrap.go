package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Resamples is how many bootstrap samples an interval is made from. At 10,000
// the ends of a 95 % interval of a median stand still from seed to seed, for
// the median of n rounds takes few distinct values.
const Resamples = 10_000

// Level is the confidence of the intervals the bench prints.
const Level = 0.95

// Interval is a confidence interval, both ends included.
type Interval struct {
	Low, High float64
}

// Covers says whether x lies in the interval.
func (i Interval) Covers(x float64) bool { return i.Low <= x && x <= i.High }

// Within says whether the whole interval lies in [low, high].
func (i Interval) Within(low, high float64) bool { return low <= i.Low && i.High <= high }

// exp carries an interval of log-ratios over to ratios.
func (i Interval) exp() Interval { return Interval{math.Exp(i.Low), math.Exp(i.High)} }

// BootstrapMedian is the percentile bootstrap interval of the median: Efron
// and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. The
// seed makes it repeatable. NaN ends of nothing; one value is its own interval.
func BootstrapMedian(xs []float64, level float64, resamples int, seed uint64) Interval {
	if len(xs) == 0 || resamples < 1 {
		return Interval{math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(xs))
	source := rand.New(rand.NewPCG(seed, uint64(len(xs))))
	medians, drawn := make([]float64, resamples), make([]int, len(xs))
	for i := range medians {
		clear(drawn)
		for range xs {
			drawn[source.IntN(len(xs))]++
		}
		medians[i] = medianDrawn(sorted, drawn)
	}
	slices.Sort(medians)
	tail := (1 - level) / 2
	return Interval{quantileSorted(medians, tail), quantileSorted(medians, 1-tail)}
}

// medianDrawn is the median of a sample that holds sorted[i] drawn[i] times,
// as many values as sorted has: what sorting the sample would give, in one pass.
func medianDrawn(sorted []float64, drawn []int) float64 {
	lower, upper := (len(sorted)-1)/2, len(sorted)/2 // the places of the middle
	seen, low := 0, math.NaN()
	for i, n := range drawn {
		seen += n
		if math.IsNaN(low) && seen > lower {
			low = sorted[i]
		}
		if seen > upper {
			return (low + sorted[i]) / 2
		}
	}
	return low
}
