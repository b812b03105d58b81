package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIntervalKnown holds the interval against R:
// wilcox.test(x, conf.int = TRUE, exact = TRUE).
func TestIntervalKnown(t *testing.T) {
	// Hollander and Wolfe (1973), p. 29; the test has p = 0.03906, so 0 is outside.
	xs := []float64{.952, -.147, 1.022, .43, .62, .59, .49, -.08, .01}
	got, ok := SignedRankInterval(xs, 0.95)
	near(t, "low", got.Low, 0.01)
	near(t, "high", got.High, 0.786)
	near(t, "center", Center(xs), 0.46)
	if !ok || got.Covers(0) {
		t.Errorf("interval %v, %v", got, ok)
	}
	for n, want := range map[int]int{0: 0, 5: 0, 6: 1, 7: 3, 8: 4, 9: 6, 10: 9, 12: 14, 20: 53} {
		if k := cut(n, 0.05); k != want {
			t.Errorf("of %d values %d averages are cut off, the tables say %d", n, k, want)
		}
	}
	if i, ok := SignedRankInterval(xs[:5], 0.95); ok || i != (Interval{}) {
		t.Errorf("five values have an interval: %v", i)
	}
	if !math.IsNaN(Center(nil)) {
		t.Error("nothing has a center")
	}
}

// TestIntervalInvertsTest: the interval holds 0 exactly where p is above 5 %.
func TestIntervalInvertsTest(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 3))
	for range 2000 {
		xs := make([]float64, 6+source.IntN(20))
		for i := range xs {
			xs[i] = source.NormFloat64() + 0.5
		}
		i, _ := SignedRankInterval(xs, 0.95)
		if _, p, _ := SignedRank(xs); i.Covers(0) != (p > 0.05) {
			t.Fatalf("%v: interval %v, p %v", xs, i, p)
		}
		if !i.Covers(Center(xs)) {
			t.Fatalf("%v: center %v outside of %v", xs, Center(xs), i)
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
	fine := Compare(wobble, refs)
	off := Compare(scaled(wobble, 1.3), refs)
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
		{"more than a machine that differs from itself", scaled(wobble, 1.5), off, Higher},
		{"as much as a machine differs from itself", scaled(wobble, 1.32), off, Unresolved},
		{"less, between 1 and what it differs by", scaled(wobble, 1.1), off, Unresolved},
		{"a tie on a machine that differs from itself", wobble, off, Unresolved},
		{"a difference beside a wild A/A arm", scaled(wobble, 1.5), Compare(wild, refs), Unresolved},
		{"86 times as much beside a wild A/A arm", scaled(wobble, 86), Compare(wild, refs), Higher},
		{"a difference without an A/A arm", scaled(wobble, 1.5), Comparison{}, Unresolved},
		{"too few rounds", scaled(wobble[:5], 1.5), fine, Unresolved},
		{"one round that agrees", wobble[:1], fine, Unresolved},
		{"nothing", nil, fine, Unresolved},
	} {
		got := Judge([]Question{{Compare(c.xs, refs), c.again}})[0]
		if got.Verdict != c.want || got.Why == "" || got.Why == "not judged" {
			t.Errorf("%s: %q because %q, want %q (interval %v, p %.3f)", c.name, got.Verdict, got.Why, c.want, got.Interval, got.Adjusted)
		}
	}
	if r := Compare(scaled(refs, 1.04), refs); !r.Passes() {
		t.Error("an A/A arm 4 % off all the time is within the margin")
	}
}

// TestReasons: an unresolved comparison says why, and how many rounds are
// missing if that is known.
func TestReasons(t *testing.T) {
	refs := []float64{100, 101, 99, 102, 98, 100, 103, 97}
	wobble := []float64{101, 100, 100, 101, 99, 99, 102, 98}
	wild := []float64{60, 150, 99, 180, 70, 40, 140, 97}
	near := []float64{94, 109, 101, 110, 92, 104, 107, 97}
	fine := Compare(wobble, refs)
	for _, c := range []struct {
		name   string
		xs     []float64
		again  Comparison
		family int
		want   Reason
		more   int
	}{
		{"nothing", nil, fine, 1, FewRounds, 6},
		{"five rounds", scaled(wobble[:5], 1.5), fine, 1, FewRounds, 1},
		{"a reference of five", wobble, Compare(wobble[:5], refs[:5]), 1, FewRounds, 1},
		{"eight rounds for 22 comparisons", scaled(wobble, 1.5), fine, 22, FewRounds, 2},
		{"nearly equal", near, fine, 1, Close, 0},
		{"wild", wild, fine, 1, Noisy, 0},
		{"a wild reference", scaled(wobble, 1.2), Compare(wild, refs), 1, Noisy, 0},
		{"a tie beside a reference that is none", wobble, Compare(scaled(wobble, 1.3), refs), 1, Noisy, 0},
		{"a tie", wobble, fine, 1, "", 0},
		{"a difference", scaled(wobble, 1.5), fine, 1, "", 0},
	} {
		family := make([]Question, c.family) // the others are of nothing, and count
		family[0] = Question{Compare(c.xs, refs[:len(c.xs)]), c.again}
		got := Judge(family)[0]
		if got.Reason != c.want || got.More != c.more || (got.Reason != "") != (got.Verdict == Unresolved) || got.Why == "" {
			t.Errorf("%s: %q, %d more, %q because %q (interval %v); want %q, %d more", c.name, got.Reason, got.More, got.Verdict, got.Why, got.Interval, c.want, c.more)
		}
	}
}

// TestTieOfFamily: with many comparisons, and in a run with many looks, a tie needs
// more than an interval at 95 %, and enough rounds for one.
func TestTieOfFamily(t *testing.T) {
	refs, xs := make([]float64, 12), make([]float64, 12)
	for i := range refs {
		refs[i], xs[i] = 100, 100+float64(i%3)-1 // within 1 %
	}
	xs[0] = 106 // one round that is not
	for _, c := range []struct {
		rounds, family int
		judge          func([]Question) []Comparison
		want           Verdict
		reason         Reason
		more           int
	}{
		{8, 1, Judge, Tie, "", 0}, {8, 2, Judge, Tie, "", 0}, {8, 11, Judge, Unresolved, Close, 0}, {8, 22, Judge, Unresolved, FewRounds, 1},
		{8, 11, JudgeAtLooks, Unresolved, FewRounds, 2}, {8, 1, JudgeAtLooks, Tie, "", 0}, {12, 1, JudgeAtLooks, Tie, "", 0}, {12, 30, JudgeAtLooks, Unresolved, Close, 0},
	} {
		family := make([]Question, c.family)
		family[0] = Question{Compare(xs[:c.rounds], refs[:c.rounds]), Compare(refs[:c.rounds], refs[:c.rounds])}
		if got := c.judge(family)[0]; got.Verdict != c.want || got.Reason != c.reason || got.More != c.more {
			t.Errorf("%d rounds, %d comparisons: %q, %q because %q, %d more", c.rounds, c.family, got.Verdict, got.Reason, got.Why, got.More)
		}
	}
}

// TestMarginIsSymmetrical: swapping arm and reference never changes a tie.
func TestMarginIsSymmetrical(t *testing.T) {
	refs := []float64{100, 101, 99, 102, 98, 100, 103, 97}
	fine := Compare(refs, refs)
	for ratio, want := range map[float64]Verdict{1.0499: Tie, 1 / 1.0499: Tie, 1.0501: Higher, 1 / 1.0501: Lower} {
		if got := Judge([]Question{{Compare(scaled(refs, ratio), refs), fine}})[0].Verdict; got != want {
			t.Errorf("%v: %q, want %q", ratio, got, want)
		}
	}
}

// TestJudgeCorrects: 7 rounds all above give p = 0.0156, enough alone, not
// among four.
func TestJudgeCorrects(t *testing.T) {
	refs := []float64{10, 11, 12, 13, 14, 15, 16}
	one := Question{Compare(scaled(refs, 2), refs), Compare(refs, refs)}
	if got := Judge([]Question{one})[0]; got.Verdict != Higher {
		t.Errorf("alone: %v", got)
	}
	for _, got := range Judge([]Question{one, one, one, one}) {
		if got.Verdict != Unresolved || math.Abs(got.Adjusted-4*one.Arm.P) > 1e-12 {
			t.Errorf("among four: %v", got)
		}
	}
}

func TestStudent(t *testing.T) {
	for df, want := range map[int]float64{5: 2.5706, 7: 2.3646, 9: 2.2622, 20: 2.0860} { // R: qt(0.975, df)
		if got := student(0.975, df); math.Abs(got/want-1) > 0.01 {
			t.Errorf("%d degrees of freedom: %v, want %v", df, got, want)
		}
	}
}
