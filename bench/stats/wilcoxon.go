package stats

import (
	"cmp"
	"math"
	"slices"
)

// SignedRank is Wilcoxon's signed-rank test of the hypothesis that differences
// lie symmetrically around 0: F. Wilcoxon, "Individual Comparisons by Ranking
// Methods", Biometrics Bulletin 1 (1945). It returns the sum of the ranks of
// the positive differences, the two-sided p-value, and how many differences
// counted.
//
// The p-value is exact, not the normal approximation: all 2^n signings of the
// ranks that occurred are counted, by the recurrence that builds the number of
// subsets with each sum (Streitberg and Röhmel, "Exact Distributions for
// Permutation and Rank Tests", Statistical Software Newsletter 12 (1986)). Ties
// share the mean of their ranks, which the recurrence takes by counting in half
// ranks; zeros carry no sign and are left out, as Wilcoxon did. p is 1 of
// nothing.
func SignedRank(differences []float64) (w, p float64, n int) {
	half, positive := halfRanks(differences)
	n = len(half)
	if n == 0 {
		return 0, 1, 0
	}
	var below, above float64
	for s, share := range rankSums(half) {
		if s <= positive {
			below += share
		}
		if s >= positive {
			above += share
		}
	}
	return float64(positive) / 2, math.Min(1, 2*math.Min(below, above)), n
}

// rankSums is the distribution of the sum of those ranks that are chosen by tossing a coin:
// element s is the probability of the sum s.
func rankSums(ranks []int) []float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	// Halved rank by rank, so that nothing overflows.
	ways := make([]float64, total+1)
	ways[0] = 1
	reached := 0
	for _, r := range ranks {
		reached += r
		for s := reached; s >= 0; s-- {
			with := 0.0
			if s >= r {
				with = ways[s-r]
			}
			ways[s] = (ways[s] + with) / 2
		}
	}
	return ways
}

// halfRanks ranks the absolute values of all differences but zeros, in half
// ranks, and sums those of the positive ones.
func halfRanks(differences []float64) (half []int, positive int) {
	kept := slices.DeleteFunc(slices.Clone(differences), func(d float64) bool { return d == 0 || math.IsNaN(d) })
	slices.SortFunc(kept, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	half = make([]int, len(kept))
	for from := 0; from < len(kept); {
		to := from + 1
		for to < len(kept) && math.Abs(kept[to]) == math.Abs(kept[from]) {
			to++
		}
		for i := from; i < to; i++ {
			half[i] = from + 1 + to // twice the mean of the ranks from+1 … to
			if kept[i] > 0 {
				positive += half[i]
			}
		}
		from = to
	}
	return half, positive
}

// Holm corrects p-values for being many: S. Holm, "A Simple Sequentially
// Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6
// (1979). The chance of even one false difference among them stays at the
// level a corrected value is compared with.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ps[a], ps[b]) })
	adjusted, running := make([]float64, len(ps)), 0.0
	for rank, i := range order {
		running = math.Max(running, math.Min(1, ps[i]*float64(len(ps)-rank)))
		adjusted[i] = running
	}
	return adjusted
}
