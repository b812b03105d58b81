package stats

import (
	"cmp"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// flipAllUpTo is the largest number of rounds for which all combinations of signs are
	// tried, at most 2^15; beyond it flipDraws of them are drawn from a fixed seed.
	flipAllUpTo, flipDraws = 16, 1 << 13
	// spreadFloor is added to the variance of a pair's rounds, as
	// a variance of log-ratios.
	spreadFloor = Margin * Margin
	// clip is how many times the median distance from 0 a round may count for.
	clip = 2
)

// StepDown tests many pairs of arms together, and gives each a p-value that is
// corrected for all of them. pairs[i][r] is pair i's log-ratio in round r, NaN
// if there is none; all have the same number of rounds.
//
// It is the step-down max-T procedure of P. H. Westfall and S. S. Young,
// "Resampling-Based Multiple Testing" (1993), with sign
// flips: if two arms are equal their log-ratio in a round might as well
// have had the other sign. The signs of a round are flipped for all pairs
// together, so that what pairs have in common (each arm is in many of them, and
// all share the machine) is in the reference distribution too. A pair's p-value
// is the share of sign flips in which the largest statistic, of this pair and
// those that are smaller, is at least as large as its own. Holm's correction
// needs p ≤ alpha/pairs, which eight rounds, with 128 sign flips, cannot have for
// more than six pairs; here one sign flip in 128 is enough whatever their number.
//
// The statistic is |mean| / √((s² + Margin²)/n) of the log-ratios, each of which
// counts for at most twice the pair's median distance from 0, so that one outlier
// neither makes nor hides a difference. That bound does not depend on the
// signs, and the floor Margin² on nothing at all: so the procedure stays exact
// for noise that is symmetric, and whether a pair is tested right does not
// depend on the others. Without the floor the statistic is Student's t, whose
// tails are so long with eight rounds that among 66 pairs the most extreme sign flip
// of equal arms reaches what 10 % reach; with it, noise below 5 % is compared by
// the mean. TestStepDown checks both error and power.
func StepDown(pairs [][]float64) (adjusted []float64) {
	var tests []signs
	rounds := 0
	for i, logs := range pairs {
		tests, rounds = append(tests, newSigns(i, logs)), max(rounds, len(logs))
	}
	slices.SortStableFunc(tests, func(a, b signs) int { return cmp.Compare(a.observed, b.observed) })
	reached, ways := make([]int, len(tests)), 0
	for turned := range signFlips(rounds) {
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

// signs is one pair: its log-ratios, clipped, 0 if there is none.
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

// statistic is the statistic of the pair with the signs of some rounds flipped.
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

// signFlips iterates over the combinations of signs of that many rounds; the first one
// flips none. Flipping all is the same as flipping none, so the first round
// is never flipped. The slice is the same each time.
func signFlips(rounds int) iter.Seq[[]bool] {
	return func(yield func([]bool) bool) {
		turned := make([]bool, rounds)
		if rounds <= flipAllUpTo {
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
		for range flipDraws {
			if !yield(turned) {
				return
			}
			for r := 1; r < rounds; r++ {
				turned[r] = source.IntN(2) == 1
			}
		}
	}
}
