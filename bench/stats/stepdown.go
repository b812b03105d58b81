package stats

import (
	"cmp"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// turnedAll is up to how many rounds all ways to turn their signs are looked
	// at, 2^15 at most; beyond, turnedDraws of them, drawn from a fixed seed.
	turnedAll, turnedDraws = 16, 1 << 13
	// spreadFloor is added to what a pair's rounds differ by among themselves, as
	// a variance of log-ratios.
	spreadFloor = Margin * Margin
	// clip is how many times the median distance from 0 a round may count for.
	clip = 2
)

// StepDown tests many pairs of arms at once, and gives each a p-value that is
// corrected for all of them. pairs[i][r] is pair i's log-ratio in round r, NaN
// where it has none; all have the same number of rounds.
//
// It is the step-down max-T procedure of P. H. Westfall and S. S. Young,
// "Resampling-Based Multiple Testing" (1993), with turned
// signs: if two arms are equal their log-ratio in a round may as well
// have had the other sign, and the signs of a round are turned for all pairs
// together, so that what pairs have in common (each arm is in many of them, and
// all share the machine) is in the reference distribution too. A pair's p-value
// is the share of turnings in which the largest statistic, of this pair and
// those that are smaller, is at least as large as its own. Holm's correction
// needs p ≤ alpha/pairs, which eight rounds, with 128 turnings, cannot have for
// more than six pairs; here one turning in 128 is enough whatever their number.
//
// The statistic is |mean| / √((s² + Margin²)/n) of the log-ratios, each of which
// counts for at most twice the pair's median distance from 0, so that one wild
// round neither makes nor hides a difference. That bound does not depend on the
// signs, and the floor Margin² on nothing at all: so the procedure stays exact
// for noise that is symmetric, and whether a pair is tested right does not
// depend on the others. Without the floor the statistic is Student's t, whose
// tails are so long with eight rounds that among 66 pairs the luckiest turning
// of equal arms reaches what 10 % reach; with it, noise below 5 % is compared by
// the mean. TestStepDown has both error and power.
func StepDown(pairs [][]float64) (adjusted []float64) {
	var tests []signs
	rounds := 0
	for i, logs := range pairs {
		tests, rounds = append(tests, newSigns(i, logs)), max(rounds, len(logs))
	}
	slices.SortStableFunc(tests, func(a, b signs) int { return cmp.Compare(a.observed, b.observed) })
	reached, ways := make([]int, len(tests)), 0
	for turned := range turnings(rounds) {
		ways++
		most := 0.0
		for i := range tests {
			most = max(most, tests[i].statistic(turned))
			if most >= tests[i].observed*(1-1e-9) { // sums in another order
				reached[i]++
			}
		}
	}
	adjusted = make([]float64, len(tests))
	p := 0.0
	for i, t := range slices.Backward(tests) {
		p = max(p, float64(reached[i])/float64(ways))
		adjusted[t.pair] = p
	}
	return adjusted
}

// signs is one pair: its log-ratios, clipped, 0 where there is none.
type signs struct {
	pair     int
	logs     []float64
	n        float64 // log-ratios that there are
	squares  float64 // their sum
	observed float64
}

func newSigns(pair int, logs []float64) signs {
	var distances []float64
	for _, x := range logs {
		if !math.IsNaN(x) {
			distances = append(distances, math.Abs(x))
		}
	}
	t := signs{pair: pair, logs: make([]float64, len(logs)), n: float64(len(distances))}
	most := clip * Median(distances)
	for r, x := range logs {
		if !math.IsNaN(x) {
			t.logs[r] = max(-most, min(x, most))
			t.squares += t.logs[r] * t.logs[r]
		}
	}
	t.observed = t.statistic(make([]bool, len(logs)))
	return t
}

// statistic is that of the pair with the signs of some rounds turned.
func (t *signs) statistic(turned []bool) float64 {
	if t.n < 2 {
		return 0
	}
	sum := 0.0
	for r, x := range t.logs {
		if turned[r] {
			x = -x
		}
		sum += x
	}
	variance := max(0, (t.squares-sum*sum/t.n)/(t.n-1))
	return math.Abs(sum) / math.Sqrt(t.n*(variance+spreadFloor))
}

// turnings gives the ways to turn the signs of so many rounds, the first of them
// that in which none is turned. To turn all is to turn none, so the first round
// is never turned. The slice is the same each time.
func turnings(rounds int) iter.Seq[[]bool] {
	return func(yield func([]bool) bool) {
		turned := make([]bool, rounds)
		if rounds <= turnedAll {
			for ways := range uint64(1) << max(rounds-1, 0) {
				for r := 1; r < rounds; r++ {
					turned[r] = ways>>(r-1)&1 == 1
				}
				if !yield(turned) {
					return
				}
			}
			return
		}
		source := rand.New(rand.NewPCG(1993, 2004))
		for range turnedDraws {
			if !yield(turned) {
				return
			}
			for r := 1; r < rounds; r++ {
				turned[r] = source.IntN(2) == 1
			}
		}
	}
}
