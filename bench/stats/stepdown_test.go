package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// armsOf is the logarithms of so many arms by round, the second half of them
// higher by a shift.
func armsOf(source *rand.Rand, noise func(*rand.Rand) float64, arms, rounds int, shift float64) [][]float64 {
	logs := make([][]float64, arms)
	for a := range logs {
		for range rounds {
			x := noise(source)
			if 2*a >= arms {
				x += shift
			}
			logs[a] = append(logs[a], x)
		}
	}
	return logs
}

// toldApart counts the pairs that are told apart, rightly and wrongly, and how many pairs
// differ.
func toldApart(arms [][]float64, shift, p float64) (right, wrong, differ int) {
	var pairs [][]float64
	var apart []bool
	for i := range arms {
		for j := range i {
			logs := make([]float64, len(arms[i]))
			for r := range logs {
				logs[r] = arms[i][r] - arms[j][r]
			}
			pairs, apart = append(pairs, logs), append(apart, shift != 0 && 2*i >= len(arms) != (2*j >= len(arms)))
		}
	}
	for k, q := range StepDown(pairs) {
		switch {
		case apart[k] && q <= p:
			right++
		case q <= p:
			wrong++
		}
		if apart[k] {
			differ++
		}
	}
	return right, wrong, differ
}

// TestStepDown: among the 66 pairs of 12 arms after 8 rounds, all equal or half
// of them 10 % dearer, a wrong pair is told apart in one run of twenty, and at the bound of a look in hardly any; and
// where an arm's rounds have a standard deviation of 2 %, nearly all differences
// of 10 % are found. Of 400 runs, 6.5 % is 5 % and what chance adds.
func TestStepDown(t *testing.T) {
	simulation(t)
	const runs, arms, rounds = 400, 12, 8
	ten := math.Log(1.1)
	for name, noise := range map[string]func(*rand.Rand) float64{
		"normal": func(r *rand.Rand) float64 { return 0.02 * r.NormFloat64() },
		"heavy":  func(r *rand.Rand) float64 { return 0.2 * noises["heavy"](r) },
		"skewed": func(r *rand.Rand) float64 { return 0.02 * r.ExpFloat64() },
	} {
		for _, c := range []struct{ p, shift, most, least float64 }{
			{Alpha, 0, 0.065, 0}, {Alpha, ten, 0.065, 0.97}, {Bound(1), 0, 0.02, 0}, {Bound(1), ten, 0.02, 0.7},
		} {
			source := rand.New(rand.NewPCG(13, 14))
			alarms, found, all := 0, 0, 0
			for range runs {
				right, wrong, differ := toldApart(armsOf(source, noise, arms, rounds, c.shift), c.shift, c.p)
				found, all = found+right, all+differ
				if wrong > 0 {
					alarms++
				}
			}
			share, power := float64(alarms)/runs, float64(found)/float64(max(all, 1))
			t.Logf("%s, p ≤ %.4f, %.0f %% dearer: wrong in %.1f %% of runs, %.1f %% found", name, c.p, 100*math.Expm1(c.shift), 100*share, 100*power)
			if share > c.most || power < c.least {
				t.Errorf("%s, p ≤ %.4f, %.0f %% dearer: wrong in %.1f %% of runs, %.1f %% found", name, c.p, 100*math.Expm1(c.shift), 100*share, 100*power)
			}
		}
	}
}

// TestStepDownRounds: pairs with different rounds are tested by the rounds that they
// have, beyond 16 rounds by draws that are always the same, and without rounds
// there is no result.
func TestStepDownRounds(t *testing.T) {
	none := math.NaN()
	steady := []float64{0.1, 0.1, 0.11, 0.1, 0.09, 0.1, 0.1, 0.1}
	noisy := []float64{0.1, -0.1, 0.1, -0.1, none, 0.1, -0.1, none}
	empty := slices.Repeat([]float64{none}, 8)
	if p := StepDown([][]float64{noisy, steady, empty}); p[1] != 1.0/128 || p[0] < 0.5 || p[2] != 1 {
		t.Errorf("p-values %v", p)
	}
	wild := slices.Clone(steady)
	wild[3] = 5
	if p := StepDown([][]float64{wild, noisy}); p[0] != 1.0/128 {
		t.Errorf("a wild round on the side of the others: %v", p)
	}
	long := [][]float64{slices.Repeat(steady, 3), slices.Repeat(noisy, 3)}
	p := StepDown(long)
	if p[0] > 0.001 || p[1] < 0.5 || !slices.Equal(p, StepDown(long)) {
		t.Errorf("24 rounds: %v, again %v", p, StepDown(long))
	}
	if p := StepDown(nil); len(p) != 0 {
		t.Errorf("of nothing %v", p)
	}
}

func TestLetters(t *testing.T) {
	for _, c := range []struct {
		n     int
		apart [][2]int
		want  []string
	}{
		{0, nil, []string{}},
		{1, nil, []string{"a"}},
		{3, nil, []string{"a", "a", "a"}},
		{3, [][2]int{{0, 1}, {0, 2}, {1, 2}}, []string{"a", "b", "c"}},
		{3, [][2]int{{0, 2}}, []string{"a", "ab", "b"}},
		{4, [][2]int{{0, 3}, {1, 3}, {0, 2}}, []string{"a", "ab", "bc", "c"}},
		{4, [][2]int{{0, 1}, {2, 3}}, []string{"ab", "cd", "ac", "bd"}},
		// A letter for 0, 1 and 2 together would only repeat the others.
		{6, [][2]int{{0, 4}, {1, 5}, {2, 3}, {3, 4}, {3, 5}, {4, 5}}, []string{"ab", "ac", "bc", "a", "c", "b"}},
	} {
		different := func(i, j int) bool {
			return slices.Contains(c.apart, [2]int{i, j}) || slices.Contains(c.apart, [2]int{j, i})
		}
		if got := Letters(c.n, different); !slices.Equal(got, c.want) {
			t.Errorf("%v told apart: %q, want %q", c.apart, got, c.want)
		}
	}
}

// TestAbsorb: one of several equal columns is left, and none that another one covers.
func TestAbsorb(t *testing.T) {
	wide, narrow, other := []bool{true, true, false}, []bool{true, false, false}, []bool{false, false, true}
	got := absorb([][]bool{narrow, wide, other, wide, narrow})
	if len(got) != 2 || !slices.ContainsFunc(got, func(c []bool) bool { return slices.Equal(c, wide) }) ||
		!slices.ContainsFunc(got, func(c []bool) bool { return slices.Equal(c, other) }) {
		t.Errorf("%v", got)
	}
}

// TestLettersAgree: whichever pairs differ, two share a letter exactly if
// they do not.
func TestLettersAgree(t *testing.T) {
	source := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		n := 1 + source.IntN(13)
		apart, share := make(map[[2]int]bool), source.Float64()
		for i := range n {
			for j := range i {
				apart[[2]int{i, j}] = source.Float64() < share
				apart[[2]int{j, i}] = apart[[2]int{i, j}]
			}
		}
		letters := Letters(n, func(i, j int) bool { return apart[[2]int{i, j}] })
		for i := range n {
			for j := range i + 1 {
				if Share(letters[i], letters[j]) == apart[[2]int{i, j}] {
					t.Fatalf("%d and %d of %q: told apart %v", i, j, letters, apart[[2]int{i, j}])
				}
			}
		}
	}
}
