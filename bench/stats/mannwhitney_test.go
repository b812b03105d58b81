package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMannWhitney: the distribution is that of all orders, counted one by one,
// and sums to 1 where the counts exceed exact integers.
func TestMannWhitney(t *testing.T) {
	const m, n = 5, 4
	counted := make([]float64, m*n+1)
	for set := range 1 << (m + n) { // which places the first sample has
		var first, pairs int
		for place := range m + n {
			if set>>place&1 == 1 {
				first++
			} else {
				pairs += m - first // of the first sample, those that come later
			}
		}
		if first == m {
			counted[pairs] += 1.0 / 126
		}
	}
	for u, share := range mannWhitney(m, n) {
		near(t, "share", share, counted[u])
	}
	large, sum := mannWhitney(48, 40), 0.0
	for u, share := range large {
		sum += share
		if share < 0 || share != large[len(large)-1-u] {
			t.Fatalf("share %d is %g, its mirror %g", u, share, large[len(large)-1-u])
		}
	}
	near(t, "sum", sum, 1)
	mean, variance := 0.0, 0.0
	for u, share := range large {
		mean += float64(u) * share
		variance += math.Pow(float64(u)-48*40/2, 2) * share
	}
	near(t, "mean", mean, 48*40/2)
	near(t, "variance", variance, 48*40*(48+40+1)/12)
}

// TestIndependentKnown: Hollander and Wolfe (1973), p. 69: permeability of
// placentas; R: wilcox.test(x, y, conf.int = TRUE) gives p = 0.2544, estimate
// 0.305, interval -0.15 to 0.76.
func TestIndependentKnown(t *testing.T) {
	x := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	y := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	c := Independent(y, x)
	if math.Abs(c.P-0.2544) > 5e-5 || math.Abs(math.Log(c.Ratio)-0.305) > 1e-9 || c.N != 15 {
		t.Errorf("p %.5f, estimate %.4f, n %d", c.P, math.Log(c.Ratio), c.N)
	}
	if c.Interval != (Interval{}) {
		t.Error("five rounds have an interval")
	}
	c = Independent(append(y, 1.0), x)
	if c.Interval == (Interval{}) || !c.Interval.Covers(c.Ratio) {
		t.Errorf("six rounds have the interval %v around %v", c.Interval, c.Ratio)
	}
	back := Independent(x, append(y, 1.0))
	near(t, "the other way", back.Ratio, 1/c.Ratio)
	near(t, "the other way, low", back.Interval.Low, 1/c.Interval.High)
	near(t, "the other way, p", back.P, c.P)
	if c := Independent(nil, x); c.N != 0 || c.P != 1 {
		t.Errorf("nothing against something: %+v", c)
	}
	if c := Independent([]float64{1, 1, 1, 1, 1, 1}, []float64{1, 1, 1, 1, 1, 1}); c.P != 1 || c.Ratio != 1 || !c.Interval.Covers(1) {
		t.Errorf("all alike: %+v", c)
	}
}

// TestIndependentCoverage: the interval contains the true ratio as often as it
// claims, and excludes 1 exactly if p is at most 0.05.
func TestIndependentCoverage(t *testing.T) {
	simulation(t)
	for name, noise := range noises {
		for _, c := range []struct{ m, n int }{{6, 6}, {8, 12}, {24, 10}} {
			const runs = 4000
			source, covered := rand.New(rand.NewPCG(11, 12)), 0
			draw := func(n int, shift float64) (xs []float64) {
				for range n {
					xs = append(xs, shift+noise(source))
				}
				return xs
			}
			for i := range runs {
				a, b := draw(c.m, 0), draw(c.n, 0.1)
				got := Independent(a, b)
				if got.Interval.Covers(math.Exp(0.1)) {
					covered++
				}
				if got.Interval.Covers(1) != (got.P > Alpha) {
					t.Fatalf("run %d: interval %v, p %v", i, got.Interval, got.P)
				}
			}
			share := float64(covered) / runs
			t.Logf("%s, %d and %d rounds: covers in %.1f %%", name, c.m, c.n, 100*share)
			if share < 0.94 || share > 0.98 {
				t.Errorf("%s, %d and %d rounds: the interval covers the truth in %.1f %% of runs", name, c.m, c.n, 100*share)
			}
		}
	}
	if xs := []float64{3, 1, 2}; Independent(xs, xs).N != 6 || !slices.Equal(xs, []float64{3, 1, 2}) {
		t.Error("Independent has sorted its argument")
	}
}
