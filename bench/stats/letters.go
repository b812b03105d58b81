package stats

import (
	"slices"
	"strings"
)

// Letters is the compact letter display of n things, given in order: two
// of them share a letter exactly if they are not different. "a" goes to the
// first. different must be symmetric, and may be anything else: "not different"
// is not transitive.
//
// The letters are found by insert-and-absorb: H.-P. Piepho, "An Algorithm for a
// Letter-Based Representation of All-Pairwise Comparisons", Journal of
// Computational and Graphical Statistics 13 (2004). One letter for all is split
// at each different pair, and a letter that another one covers is
// dropped. The rest may contain letters that only repeat what others express: they
// are dropped too, the last ones first.
func Letters(n int, different func(i, j int) bool) []string {
	all := make([]bool, n)
	for i := range all {
		all[i] = true
	}
	columns := [][]bool{all}
	for i := range n {
		for j := range i {
			if different(i, j) {
				columns = absorb(split(columns, i, j))
			}
		}
	}
	slices.SortFunc(columns, func(a, b []bool) int { return -slices.CompareFunc(a, b, compareBool) })
	columns = sweep(columns)
	letters := make([]string, n)
	for c, column := range columns {
		for i, in := range column {
			if in {
				letters[i] += letter(c)
			}
		}
	}
	return letters
}

// Share says whether two of Letters' strings have a letter in common.
func Share(a, b string) bool { return strings.ContainsAny(a, b) }

// split cuts every column that holds both i and j in two, one without each.
func split(columns [][]bool, i, j int) (out [][]bool) {
	for _, c := range columns {
		if !c[i] || !c[j] {
			out = append(out, c)
			continue
		}
		for _, without := range []int{i, j} {
			half := slices.Clone(c)
			half[without] = false
			out = append(out, half)
		}
	}
	return out
}

// absorb drops every column that another one covers.
func absorb(columns [][]bool) (out [][]bool) {
	for k, c := range columns {
		if !slices.ContainsFunc(out, func(o []bool) bool { return covers(o, c) }) &&
			!slices.ContainsFunc(columns[k+1:], func(o []bool) bool { return covers(o, c) && !slices.Equal(o, c) }) {
			out = append(out, c)
		}
	}
	return out
}

func covers(wide, narrow []bool) bool {
	for i, in := range narrow {
		if in && !wide[i] {
			return false
		}
	}
	return true
}

// sweep drops columns each of whose pairs, and each of whose members, is in
// another column as well.
func sweep(columns [][]bool) [][]bool {
	for k := len(columns) - 1; k >= 0; k-- {
		if others := slices.Delete(slices.Clone(columns), k, k+1); repeats(others, columns[k]) {
			columns = others
		}
	}
	return columns
}

func repeats(others [][]bool, column []bool) bool {
	for i := range column {
		for j := range i + 1 {
			if column[i] && column[j] && !slices.ContainsFunc(others, func(o []bool) bool { return o[i] && o[j] }) {
				return false
			}
		}
	}
	return true
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// letter names a column: a to z, A to Z, then what follows ƀ. Thirteen things
// never need more than 42.
func letter(c int) string {
	const names = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if c < len(names) {
		return names[c : c+1]
	}
	return string(rune('ƀ' + c - len(names)))
}
