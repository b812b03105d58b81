package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBootstrapExact holds the bootstrap against Efron's closed form: for odd
// n = 2m-1 the bootstrap median is the k-th order statistic with probability
// P(Bin(n, (k-1)/n) ≤ m-1) - P(Bin(n, k/n) ≤ m-1).
func TestBootstrapExact(t *testing.T) {
	xs := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	n, m := len(xs), 5
	atMost := func(p float64) (sum float64) {
		for j := range m {
			sum += binomial(n, j) * math.Pow(p, float64(j)) * math.Pow(1-p, float64(n-j))
		}
		return sum
	}
	quantile := func(q float64) float64 {
		sum := 0.0
		for k := 1; k <= n; k++ {
			sum += atMost(float64(k-1)/float64(n)) - atMost(float64(k)/float64(n))
			if sum >= q {
				return xs[k-1]
			}
		}
		return xs[n-1]
	}
	// The cumulative steps are .0014 .0289 .1449 .3755 … : 90 % is far from a step.
	got := BootstrapMedian(xs, 0.90, 50_000, 7)
	if want := (Interval{quantile(.05), quantile(.95)}); got != want {
		t.Errorf("interval %v, exactly %v", got, want)
	}
	if again := BootstrapMedian(xs, 0.90, 50_000, 7); again != got {
		t.Error("the same seed gave another interval")
	}
	if one := BootstrapMedian([]float64{3}, Level, 100, 1); one != (Interval{3, 3}) {
		t.Errorf("the interval of one value is %v", one)
	}
	if none := BootstrapMedian(nil, Level, 100, 1); !math.IsNaN(none.Low) || none.Covers(1) {
		t.Errorf("the interval of nothing is %v", none)
	}
}

func binomial(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k))
}

// TestMedianDrawn holds the median by counting against the median by sorting.
func TestMedianDrawn(t *testing.T) {
	source := rand.New(rand.NewPCG(8, 9))
	for range 500 {
		sorted := make([]float64, 1+source.IntN(8))
		drawn, sample := make([]int, len(sorted)), []float64(nil)
		for i := range sorted {
			sorted[i] = float64(i * i)
		}
		for range sorted {
			i := source.IntN(len(sorted))
			drawn[i]++
			sample = append(sample, sorted[i])
		}
		if got, want := medianDrawn(sorted, drawn), Median(sample); got != want {
			t.Fatalf("%v drawn %v times: %v, want %v", sorted, drawn, got, want)
		}
	}
}

func scaled(xs []float64, by float64) []float64 {
	out := slices.Clone(xs)
	for i := range out {
		out[i] *= by
	}
	return out
}

func TestJudge(t *testing.T) {
	refs := []float64{100, 101, 99, 102, 98, 100, 103, 97}
	wobble := []float64{101, 100, 100, 101, 99, 99, 102, 98}
	wild := []float64{60, 150, 99, 180, 70, 40, 140, 97}
	fine := Compare(wobble, refs, 1)
	for _, c := range []struct {
		name  string
		xs    []float64
		again Comparison
		want  Verdict
	}{
		{"the same", wobble, fine, Tie},
		{"two per cent, surely, is a tie all the same", scaled(refs, 1.02), fine, Tie},
		{"half again as much", scaled(wobble, 1.5), fine, Higher},
		{"half", scaled(wobble, 0.5), fine, Lower},
		{"noise", wild, fine, Unresolved},
		{"a difference on a machine that differs from itself", scaled(wobble, 1.5), Compare(scaled(wobble, 1.3), refs, 1), Unresolved},
		{"a difference without an A/A arm", scaled(wobble, 1.5), Comparison{}, Unresolved},
		{"too few rounds", scaled(wobble[:5], 1.5), fine, Unresolved},
		{"one round that agrees", wobble[:1], fine, Unresolved},
		{"nothing", nil, fine, Unresolved},
	} {
		got := Judge([]Comparison{Compare(c.xs, refs, 1)}, c.again)[0]
		if got.Verdict != c.want || got.Why == "" || got.Why == "not judged" {
			t.Errorf("%s: %q because %q, want %q (interval %v, p %.3f)", c.name, got.Verdict, got.Why, c.want, got.Interval, got.Adjusted)
		}
	}
	if r := Compare(scaled(refs, 1.04), refs, 1); !r.Passes() {
		t.Error("an A/A arm 4 % off all the time is within the margin")
	}
	if r := Compare(scaled(refs, 1.25), refs, 1).Resolution(); math.Abs(r-0.25) > 1e-9 {
		t.Errorf("resolution %v, want 0.25", r)
	}
}

// TestJudgeCorrects: 7 rounds all above give p = 0.0156, enough alone, not
// among four.
func TestJudgeCorrects(t *testing.T) {
	refs := []float64{10, 11, 12, 13, 14, 15, 16}
	one := Compare(scaled(refs, 2), refs, 1)
	again := Compare(refs, refs, 1)
	if got := Judge([]Comparison{one}, again)[0]; got.Verdict != Higher {
		t.Errorf("alone: %v", got)
	}
	for _, got := range Judge([]Comparison{one, one, one, one}, again) {
		if got.Verdict != Unresolved || math.Abs(got.Adjusted-4*one.P) > 1e-12 {
			t.Errorf("among four: %v", got)
		}
	}
}

// TestFalsePositives runs the whole rule on servers that are equal, with the
// noise the method expects (log-normal, drifting from round to round), and
// counts how often it calls them different, or the A/A arm broken.
func TestFalsePositives(t *testing.T) {
	const runs = 1000
	source := rand.New(rand.NewPCG(3, 4))
	for _, rounds := range []int{8, 20} {
		var differ, broken int
		for run := range runs {
			arms := make([][]float64, 3)
			for range rounds {
				drift := math.Exp(0.3 * source.NormFloat64())
				for a := range arms {
					arms[a] = append(arms[a], drift*math.Exp(0.15*source.NormFloat64()))
				}
			}
			again := compareFast(arms[2], arms[0], uint64(run))
			if !again.Passes() {
				broken++
			}
			if v := Judge([]Comparison{compareFast(arms[1], arms[0], uint64(run))}, again)[0].Verdict; v == Higher || v == Lower {
				differ++
			}
		}
		if share := float64(differ) / runs; share > 0.05 {
			t.Errorf("%d rounds: equal servers called different in %.1f %% of runs", rounds, 100*share)
		}
		if share := float64(broken) / runs; share > 0.10 {
			t.Errorf("%d rounds: the A/A arm fails in %.1f %% of runs", rounds, 100*share)
		}
		t.Logf("%d rounds: %d differ, %d A/A broken of %d", rounds, differ, broken, runs)
	}
}

// TestPower: a difference of 30 % in the same noise is found nearly always.
func TestPower(t *testing.T) {
	source := rand.New(rand.NewPCG(5, 6))
	found := 0
	const runs = 300
	for run := range runs {
		var a, b, c []float64
		for range 20 {
			a = append(a, math.Exp(0.15*source.NormFloat64()))
			b = append(b, 1.3*math.Exp(0.15*source.NormFloat64()))
			c = append(c, math.Exp(0.15*source.NormFloat64()))
		}
		if Judge([]Comparison{compareFast(b, a, uint64(run))}, compareFast(c, a, uint64(run)))[0].Verdict == Higher {
			found++
		}
	}
	if found < runs*8/10 {
		t.Errorf("30 %% found in %d of %d runs", found, runs)
	}
}

// compareFast is Compare with fewer resamples: simulations need thousands.
func compareFast(xs, refs []float64, seed uint64) Comparison {
	logs := LogRatios(xs, refs)
	_, p, _ := SignedRank(logs)
	return Comparison{N: len(logs), Ratio: math.Exp(Median(logs)), Interval: BootstrapMedian(logs, Level, 400, seed).exp(), P: p}
}
