package machine

import "slices"

// Order sorts CPUs into the order in which a server is given them: first one thread of each
// core, then their siblings, then those that share a core with the generator, and last the
// generator's own CPUs.
func Order(allowed, generator []int) []int { return order(allowed, generator, siblings) }

func order(allowed, generator []int, siblings func(int) []int) []int {
	var ranks [4][]int
	for _, c := range allowed {
		beside := func(of []int) bool {
			return slices.ContainsFunc(siblings(c), func(s int) bool { return slices.Contains(of, s) })
		}
		rank := 0
		switch {
		case slices.Contains(generator, c):
			rank = 3
		case beside(generator):
			rank = 2
		case beside(ranks[0]):
			rank = 1
		}
		ranks[rank] = append(ranks[rank], c)
	}
	return slices.Concat(ranks[:]...)
}
