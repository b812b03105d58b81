package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

func TestQuantile(t *testing.T) {
	ten := []float64{10, 3, 1, 2, 9, 4, 8, 5, 7, 6}
	// R: quantile(1:10, c(.05, .25, .5, .95))
	for q, want := range map[float64]float64{0: 1, .05: 1.45, .25: 3.25, .5: 5.5, .95: 9.55, 1: 10} {
		near(t, "quantile", Quantile(ten, q), want)
	}
	near(t, "median of three", Median([]float64{9, 1, 5}), 5)
	near(t, "median of one", Median([]float64{4}), 4)
	near(t, "median of equal infinities", Median([]float64{math.Inf(1), math.Inf(1)}), math.Inf(1))
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is not NaN")
	}
	if !slices.Equal(ten, []float64{10, 3, 1, 2, 9, 4, 8, 5, 7, 6}) {
		t.Error("Quantile has sorted its argument")
	}
}

func TestSpread(t *testing.T) {
	// mean 5, squares 9+1+1+1+0+0+4+16 = 32, sd sqrt(32/7)
	near(t, "spread", Spread([]float64{2, 4, 4, 4, 5, 5, 7, 9}), math.Sqrt(32.0/7)/5)
	if !math.IsNaN(Spread([]float64{1})) {
		t.Error("one value has no spread")
	}
}

func TestLogRatios(t *testing.T) {
	got := LogRatios([]float64{2, 1, 0, 5, math.NaN(), math.Inf(1)}, []float64{1, 2, 1, 0, 1, 1})
	if len(got) != 2 {
		t.Fatalf("%d ratios of two good pairs: %v", len(got), got)
	}
	near(t, "ln 2", got[0], math.Ln2)
	near(t, "ln 1/2", got[1], -math.Ln2)
}

func TestSignedRankKnown(t *testing.T) {
	for _, c := range []struct {
		name string
		xs   []float64
		w, p float64
		n    int
	}{
		// Hollander and Wolfe (1973), p. 29: depression scores of nine patients;
		// R: wilcox.test(x, y, paired = TRUE) gives V = 40, p = 0.03906.
		{"depression", []float64{1.83 - .878, .50 - .647, 1.62 - .598, 2.48 - 2.05, 1.68 - 1.06, 1.88 - 1.29, 1.55 - 1.06, 3.06 - 3.14, 1.30 - 1.29}, 40, 0.0390625, 9},
		// Darwin's maize, in eighths of an inch; R: V = 96, p = 0.04126.
		{"maize", []float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48}, 96, 0.041259765625, 15},
		{"all above", []float64{1, 2, 3, 4, 5, 6, 7, 8}, 36, 2.0 / 256, 8},
		{"all below", []float64{-1, -2, -3, -4, -5, -6}, 0, 2.0 / 64, 6},
		{"one", []float64{3}, 1, 1, 1},
		{"nothing", nil, 0, 1, 0},
		{"zeros only", []float64{0, 0}, 0, 1, 0},
		{"zeros left out", []float64{0, 1, 2, 3, 0}, 6, 0.25, 3},
		// |1| three times: rank 2 each, |5| rank 4. Signings with sum ≥ 8: {4,2,2} three ways and all: 4 of 16.
		{"ties", []float64{1, 1, -1, 5}, 8, 0.5, 4},
	} {
		w, p, n := SignedRank(c.xs)
		near(t, c.name+": w", w, c.w)
		near(t, c.name+": p", p, c.p)
		if n != c.n {
			t.Errorf("%s: n = %d, want %d", c.name, n, c.n)
		}
	}
}

// TestSignedRankTable holds the exact distribution against the published
// critical values (two-sided 5 %): the largest W that is still significant.
func TestSignedRankTable(t *testing.T) {
	for n, critical := range map[int]int{6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 15: 25, 20: 52} {
		if p := pOfSum(t, n, critical); p > 0.05 {
			t.Errorf("n=%d: W=%d has p=%.4f, the table says ≤ 0.05", n, critical, p)
		}
		if p := pOfSum(t, n, critical+1); p <= 0.05 {
			t.Errorf("n=%d: W=%d has p=%.4f, the table says > 0.05", n, critical+1, p)
		}
	}
}

// pOfSum makes n differences whose positive ranks sum to w.
func pOfSum(t *testing.T, n, w int) float64 {
	t.Helper()
	xs, left := make([]float64, n), w
	for rank := n; rank >= 1; rank-- {
		xs[rank-1] = -float64(rank)
		if rank <= left {
			xs[rank-1], left = float64(rank), left-rank
		}
	}
	got, p, _ := SignedRank(xs)
	if got != float64(w) {
		t.Fatalf("made W=%v, wanted %d", got, w)
	}
	return p
}

// TestSignedRankBruteForce counts all signings one by one.
func TestSignedRankBruteForce(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		xs := make([]float64, 1+source.IntN(9))
		for i := range xs {
			xs[i] = float64(source.IntN(13) - 6) // with ties and zeros
		}
		w, p, n := SignedRank(xs)
		half, _ := halfRanks(xs)
		var below, above int
		for signs := range 1 << n {
			sum := 0
			for i, r := range half {
				if signs>>i&1 == 1 {
					sum += r
				}
			}
			if float64(sum)/2 <= w {
				below++
			}
			if float64(sum)/2 >= w {
				above++
			}
		}
		near(t, "p", p, math.Min(1, 2*float64(min(below, above))/float64(int(1)<<n)))
	}
}

func TestHolm(t *testing.T) {
	for _, c := range []struct{ ps, want []float64 }{
		{[]float64{.01, .02, .03, .04, .05}, []float64{.05, .08, .09, .09, .09}}, // R: p.adjust(…, "holm")
		{[]float64{.01, .04, .03, .005}, []float64{.03, .06, .06, .02}},
		{[]float64{.9, .8}, []float64{1, 1}},
		{[]float64{.03}, []float64{.03}},
		{nil, nil},
	} {
		got := Holm(c.ps)
		if len(got) != len(c.want) {
			t.Fatalf("Holm(%v) = %v", c.ps, got)
		}
		for i := range got {
			near(t, "adjusted", got[i], c.want[i])
		}
	}
}
