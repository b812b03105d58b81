package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// measured is rounds of a law with noise of so many per cent.
func measured(u USL, rounds int, noise float64, ns ...float64) (all [][]Throughput) {
	source := rand.New(rand.NewPCG(uint64(rounds), uint64(len(ns))))
	for range rounds {
		var round []Throughput
		for _, n := range ns {
			round = append(round, Throughput{n, u.At(n) * math.Exp(noise*source.NormFloat64())})
		}
		all = append(all, round)
	}
	return all
}

// TestFitUSLExact: without noise the fit returns the exact law, also at its bounds.
func TestFitUSLExact(t *testing.T) {
	for _, want := range []USL{
		{20e6, 0.05, 0.002}, {1, 0, 0}, {3, 0.3, 0}, {1e-3, 0, 0.01}, {995.6, 0.02671, 0.000769}, {5, 1, 0.5},
	} {
		got, err := FitUSL(measured(want, 1, 0, 1, 2, 4, 8, 16)[0], true)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Lambda/want.Lambda-1) > 1e-9 || math.Abs(got.Sigma-want.Sigma) > 1e-9 || math.Abs(got.Kappa-want.Kappa) > 1e-9 {
			t.Errorf("%+v comes back as %+v", want, got)
		}
		if n := got.Peak(); want.Kappa > 0 && math.Abs(n-want.Peak()) > 1e-6*n {
			t.Errorf("%+v: the peak is at %v, want %v", want, n, want.Peak())
		}
	}
}

// TestFitUSLStaysInBounds: data that no law fits gives the nearest law, not a negative cost.
func TestFitUSLStaysInBounds(t *testing.T) {
	faster := []Throughput{{1, 10}, {2, 22}, {4, 50}, {8, 120}} // than N
	got, err := FitUSL(faster, true)
	if err != nil || got.Sigma != 0 || got.Kappa != 0 || got.Lambda < 10 || got.Lambda > 15 {
		t.Errorf("throughput that grows faster than N gives %+v, %v", got, err)
	}
	convex := []Throughput{{1, 100}, {2, 110}, {4, 220}, {8, 400}} // would want κ < 0
	if got, err = FitUSL(convex, true); err != nil || got.Sigma <= 0 || got.Kappa != 0 {
		t.Errorf("convex data gives %+v, %v", got, err)
	}
	if got, err = FitUSL([]Throughput{{1, 10}, {2, 15}}, false); err != nil || got.Kappa != 0 || math.Abs(got.Sigma-1.0/3) > 1e-9 || math.Abs(got.Lambda-10) > 1e-9 {
		t.Errorf("two points give %+v, %v", got, err)
	}
}

func TestFitUSLRefuses(t *testing.T) {
	for name, points := range map[string][]Throughput{
		"nothing": nil, "one number": {{2, 3}, {2, 4}}, "no processor": {{0, 1}, {2, 2}}, "no throughput": {{1, 0}, {2, 2}},
		"negative": {{1, -1}, {2, 2}}, "no number": {{1, math.NaN()}, {2, 2}}, "infinite": {{1, math.Inf(1)}, {2, 2}},
	} {
		if u, err := FitUSL(points, true); !errors.Is(err, ErrUSL) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

// TestFitRoundsUnderNoise: the intervals contain the truth about as often as they claim, and
// the fit is near it. 40 runs of 12 rounds with 3 % of noise.
func TestFitRoundsUnderNoise(t *testing.T) {
	simulation(t)
	truth := USL{20e6, 0.06, 0.001}
	const runs = 40
	held := map[string]int{}
	source := rand.New(rand.NewPCG(5, 6))
	for range runs {
		var rounds [][]Throughput
		for range 12 {
			var round []Throughput
			for _, n := range []float64{1, 2, 4, 8, 16} {
				round = append(round, Throughput{n, truth.At(n) * math.Exp(0.03*source.NormFloat64())})
			}
			rounds = append(rounds, round)
		}
		s, err := FitRounds(rounds)
		if err != nil || !s.Determined || s.Numbers != 5 {
			t.Fatalf("%+v, %v", s, err)
		}
		if math.Abs(s.Lambda/truth.Lambda-1) > 0.05 || math.Abs(s.Sigma-truth.Sigma) > 0.03 || math.Abs(s.Kappa-truth.Kappa) > 0.002 {
			t.Errorf("%+v is far from %+v", s.USL, truth)
		}
		for name, of := range map[string]func(USL) float64{
			"lambda": func(u USL) float64 { return u.Lambda }, "sigma": func(u USL) float64 { return u.Sigma },
			"kappa": func(u USL) float64 { return u.Kappa }, "at 32": func(u USL) float64 { return u.At(32) },
		} {
			i, ok := s.Interval(of)
			if !ok {
				t.Fatal("no interval")
			}
			if i.Covers(of(truth)) {
				held[name]++
			}
		}
	}
	for name, n := range held {
		if n < runs*17/20 { // 38 are expected; a plain bootstrap has 34 or so
			t.Errorf("the interval of %s holds the truth in %d of %d runs", name, n, runs)
		}
	}
	if len(held) != 4 {
		t.Errorf("only %v hold the truth at all", held)
	}
}

// TestFitRoundsUndetermined: with fewer than four numbers of processors κ is held at 0 and
// the fit says that it is not determined; with few rounds there is no interval.
func TestFitRoundsUndetermined(t *testing.T) {
	truth := USL{10, 0.1, 0.02}
	for _, ns := range [][]float64{{1, 2}, {1, 2, 3}} {
		s, err := FitRounds(measured(truth, 8, 0.01, ns...))
		if err != nil || s.Determined || s.Kappa != 0 || s.Sigma <= truth.Sigma {
			t.Errorf("%v: %+v, %v", ns, s.USL, err)
		}
		if i, ok := s.Interval(func(u USL) float64 { return u.Sigma }); !ok || i.Low >= i.High {
			t.Errorf("%v: interval %v, %v", ns, i, ok)
		}
	}
	s, err := FitRounds(measured(truth, USLRounds-1, 0.01, 1, 2, 4, 8))
	if err != nil || !s.Determined {
		t.Errorf("%+v, %v", s, err)
	}
	if i, ok := s.Interval(func(u USL) float64 { return u.Sigma }); ok {
		t.Errorf("%d rounds have the interval %v", USLRounds-1, i)
	}
	rounds := measured(truth, 8, 0.01, 1, 2, 4, 8)
	for i := USLRounds - 1; i < len(rounds); i++ {
		rounds[i] = rounds[i][:3] // the last has one round too few
	}
	if s, err = FitRounds(rounds); err != nil || s.Fewest != USLRounds-1 {
		t.Errorf("the fewest are %d, %v", s.Fewest, err)
	}
	if i, ok := s.Interval(func(u USL) float64 { return u.Sigma }); ok {
		t.Errorf("%d of 8 rounds with 8 processors have the interval %v", s.Fewest, i)
	}
	if _, err := FitRounds(nil); !errors.Is(err, ErrUSL) {
		t.Error(err)
	}
}
