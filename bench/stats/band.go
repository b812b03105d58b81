package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Band is a curve and a band around it that holds the whole of the true curve,
// at all of its points at once, with the confidence Level.
type Band struct {
	Center, Low, High []float64
}

// CurveRounds is the fewest rounds for which there is a band.
const CurveRounds = 6

// bandDraws is how many Gaussian curves the critical value is taken from: it
// then stands for a level between 94 and 96 % (two standard errors).
const bandDraws = 2000

// Simultaneous is the mean of curves, one of each round, all over the same
// points, and the band around it: the sup-t band of J. L. Montiel Olea and
// M. Plagborg-Møller, "Simultaneous Confidence Bands: Theory, Implementation,
// and an Application to SVARs", Journal of Applied Econometrics 34 (2019). It is
// so many standard errors wide, at every point the same number, as the greatest
// deviation of a Gaussian curve with the same correlations exceeds in one of
// twenty. That number is then widened by Student's t, for the standard errors
// are estimates from few rounds. TestBandCoverage holds it against simulated
// rounds. ok is false below CurveRounds rounds: then there is a center and no band.
func Simultaneous(curves [][]float64) (b Band, ok bool) {
	a := sampleOf(curves)
	b.Center = a.mean
	if len(curves) < CurveRounds {
		return b, false
	}
	b.around([]sample{a})
	return b, true
}

// SimultaneousBetween is Simultaneous for the difference of the means of two
// independent samples of curves, the second less the first. The degrees of
// freedom are Welch's (B. L. Welch, "The Generalization of 'Student's' Problem
// when Several Different Population Variances are Involved", Biometrika 34
// (1947)). Both need CurveRounds.
func SimultaneousBetween(first, second [][]float64) (b Band, ok bool) {
	from, to := sampleOf(first), sampleOf(second)
	if len(first) == 0 || len(second) == 0 {
		return b, false
	}
	for g := range to.mean {
		b.Center = append(b.Center, to.mean[g]-from.mean[g])
	}
	if min(len(first), len(second)) < CurveRounds {
		return b, false
	}
	b.around([]sample{from, to})
	return b, true
}

// sample is some curves: their mean, and each one's deviation from it over
// √(n(n-1)), so that the sum of squares is the variance of the mean.
type sample struct {
	mean, variance []float64
	deviations     [][]float64
}

func sampleOf(curves [][]float64) (s sample) {
	if len(curves) == 0 {
		return s
	}
	n := float64(len(curves))
	s.mean, s.variance = make([]float64, len(curves[0])), make([]float64, len(curves[0]))
	for _, c := range curves {
		for g, v := range c {
			s.mean[g] += v / n
		}
	}
	for _, c := range curves {
		deviation := make([]float64, len(c))
		for g, v := range c {
			deviation[g] = (v - s.mean[g]) / math.Sqrt(n*max(n-1, 1))
			s.variance[g] += deviation[g] * deviation[g]
		}
		s.deviations = append(s.deviations, deviation)
	}
	return s
}

// around computes the band.
func (b *Band) around(samples []sample) {
	points := len(b.Center)
	errors, freedom := make([]float64, points), make([]float64, points)
	for g := range points {
		var sum, squares float64
		for _, s := range samples {
			sum += s.variance[g]
			squares += s.variance[g] * s.variance[g] / float64(len(s.deviations)-1)
		}
		if errors[g] = math.Sqrt(sum); sum > 0 {
			freedom[g] = sum * sum / squares
		}
	}
	z := supremum(samples, errors)
	b.Low, b.High = make([]float64, points), make([]float64, points)
	for g, center := range b.Center {
		half := 0.0
		if errors[g] > 0 { // otherwise all rounds are exactly equal
			half = studentized(z, freedom[g]) * errors[g]
		}
		b.Low[g], b.High[g] = center-half, center+half
	}
}

// supremum is what the greatest of the standardized points of a Gaussian curve
// exceeds with the probability 1-Level. The curves are sums of the deviations,
// each times a normal number of its own: so they have the correlations of the
// rounds. Of n rounds even unrelated points look correlated, by a square of 1/n
// on average, which would make the band too narrow: so each point gets 2/n of
// its variance independently. The seed is fixed, so that the same rounds give
// the same value.
func supremum(samples []sample, errors []float64) float64 {
	source := rand.New(rand.NewPCG(0x62616e64, 0)) // "band"
	rounds := 0
	for _, s := range samples {
		rounds += len(s.deviations)
	}
	own := 2 / float64(rounds)
	greatest, curve := make([]float64, bandDraws), make([]float64, len(errors))
	for i := range greatest {
		clear(curve)
		for _, s := range samples {
			for _, deviation := range s.deviations {
				by := source.NormFloat64()
				for g, d := range deviation {
					curve[g] += by * d
				}
			}
		}
		for g, v := range curve {
			if errors[g] > 0 {
				v = math.Sqrt(1-own)*v/errors[g] + math.Sqrt(own)*source.NormFloat64()
				greatest[i] = max(greatest[i], math.Abs(v))
			}
		}
	}
	slices.Sort(greatest)
	return quantileSorted(greatest, Level)
}
