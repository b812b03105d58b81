package stats

import "math"

// power is how often an existing difference should be found: four times in
// five, the usual choice.
const power = 0.8

// Finds is the smallest relative difference that as many rounds as those of
// the A/A comparison find four times in five, if its p-value must not exceed
// the given one: 0.06 is 6 %. ok is false if there are too few rounds to find any
// difference.
//
// A difference has to meet two conditions, and the stricter decides. Its p-value
// must be small enough: its interval at 1-p must not contain 1. And
// its interval must lie outside that of A/A: it must be as far away as two
// half-widths. To this is added the margin that four in five exceed; both the center
// and the widths vary from run to run. The width is taken from the A/A interval
// and not from a standard deviation, because one outlier in ten rounds makes the latter
// large and the test hardly weaker. TestFinds checks all of it with simulated runs.
func (c Comparison) Finds(p float64) (difference float64, ok bool) {
	if !c.measured() || c.N < pairsFor(p) {
		return 0, false
	}
	half := math.Log(c.Interval.High/c.Interval.Low) / 2
	one := half / student((1+Level)/2, c.N-1) // standard error of the center
	far := max(2*half, one*student(1-p/2, c.N-1))
	varies := math.Hypot(one, far/math.Sqrt(float64(c.N-1))) // a width is known to one in the root of 2(n-1), of wild rounds to less
	return math.Expm1(far + varies*student(power, c.N-1)), true
}

// MoreRounds is about how many rounds more than those of the A/A comparison are needed
// to find a difference as small as wanted four times in five: the error
// of n rounds shrinks with the square root of n.
func (c Comparison) MoreRounds(p, wanted float64) int {
	found, ok := c.Finds(p)
	if !ok {
		return max(0, pairsFor(p)-c.N)
	}
	times := math.Log1p(found) / math.Log1p(wanted)
	return max(0, int(math.Ceil(float64(c.N)*times*times))-c.N)
}

// student is the quantile of Student's t with so many degrees of freedom, by
// the expansion around the normal quantile: Abramowitz and Stegun, "Handbook of
// Mathematical Functions", 26.7.5. From 5 degrees on it is good to 1 %.
func student(p float64, df int) float64 {
	return studentized(math.Sqrt2*math.Erfinv(2*p-1), float64(df))
}

// studentized is the quantile of Student's t where that of the normal
// distribution is z.
func studentized(z, df float64) float64 {
	n, z2 := df, z*z
	return z + z*(z2+1)/4/n + z*((5*z2+16)*z2+3)/96/n/n + z*(((3*z2+19)*z2+17)*z2-15)/384/n/n/n
}
