package main

import "math"

// exactInterval is the 95 % interval of a proportion of which k of n were counted:
// C. J. Clopper and E. S. Pearson, "The Use of Confidence or Fiducial Limits
// Illustrated in the Case of the Binomial", Biometrika 26 (1934). It covers the
// proportion at least that often, whatever it is. (0, 1) if n is 0.
func exactInterval(k, n int) (low, high float64) {
	const tail = 0.025
	low, high = 0, 1
	if k > 0 {
		low = bisect(func(p float64) bool { return 1-atMost(k-1, n, p) > tail })
	}
	if k < n {
		high = bisect(func(p float64) bool { return atMost(k, n, p) < tail })
	}
	return low, high
}

// bisect finds where between 0 and 1 above becomes true.
func bisect(above func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if mid := (low + high) / 2; above(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return (low + high) / 2
}

// atMost is the probability of k or fewer of n, each with probability p.
func atMost(k, n int, p float64) (sum float64) {
	if p <= 0 || k >= n {
		return 1
	}
	if p >= 1 {
		return 0
	}
	ln := func(m int) float64 { v, _ := math.Lgamma(float64(m + 1)); return v }
	for i := 0; i <= k; i++ {
		sum += math.Exp(ln(n) - ln(i) - ln(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}
