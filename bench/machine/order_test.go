package machine

import (
	"slices"
	"testing"
)

func TestOrder(t *testing.T) {
	alone := func(c int) []int { return []int{c} }
	pairs := func(c int) []int { return []int{c &^ 1, c | 1} } // 0-1, 2-3, …
	for _, c := range []struct {
		allowed, generator, want []int
		siblings                 func(int) []int
	}{
		{[]int{0, 1}, []int{1}, []int{0, 1}, alone},
		{[]int{0, 1, 2, 3}, []int{0}, []int{1, 2, 3, 0}, alone},
		{[]int{0, 1, 2, 3, 4, 5}, []int{5}, []int{0, 2, 1, 3, 4, 5}, pairs},
		{[]int{2}, []int{2}, []int{2}, alone},
	} {
		if got := order(c.allowed, c.generator, c.siblings); !slices.Equal(got, c.want) {
			t.Errorf("%v with the generator on %v: %v, want %v", c.allowed, c.generator, got, c.want)
		}
	}
}
