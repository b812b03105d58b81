package report

import (
	"maps"
	"slices"

	"chatbench/bench/stats"
)

// all is the values in the order of rounds: floating sums must not depend on
// the order of a map.
func (s series) all() []float64 {
	xs := make([]float64, 0, len(s))
	for _, round := range slices.Sorted(maps.Keys(s)) {
		xs = append(xs, s[round])
	}
	return xs
}

// pairs is the rounds that both series have.
func pairs(xs, refs series) (a, b []float64) {
	for _, round := range slices.Sorted(maps.Keys(xs)) {
		if ref, ok := refs[round]; ok {
			a, b = append(a, xs[round]), append(b, ref)
		}
	}
	return a, b
}

// compare holds every arm against the reference in one figure.
func (l *LoadSummary) compare(m metric, values map[string]map[string]series, reference string, seed uint64) {
	refs := values[reference][m.key]
	against := func(arm string) stats.Comparison {
		if paced := m.key == keyLogin || m.key == keyLoginP99; paced && l.arm(arm).Clients != l.arm(reference).Clients {
			return stats.Comparison{} // fewer clients over the same time: another pace
		}
		xs, rs := pairs(values[arm][m.key], refs)
		return stats.Compare(xs, rs, seed)
	}
	var again stats.Comparison
	if a := l.again(); a != nil {
		again = against(a.Name)
		if again.N > 0 {
			verdict, why := holds, "equal to itself, as it must be"
			if !again.Passes() {
				verdict, why = fails, "the reference differs from itself here"
			}
			l.put(a.Name, m.key, again, verdict, why)
			l.Resolution[m.key] = again.Resolution()
		}
	}
	var names []string
	var comparisons []stats.Comparison
	for _, a := range l.Arms {
		if a.Name != reference && !a.Again {
			names, comparisons = append(names, a.Name), append(comparisons, against(a.Name))
		}
	}
	for i, c := range stats.Judge(comparisons, again) {
		verdict, why := m.word(c.Verdict), c.Why
		if l.bounded(m.key, names[i], reference, c.Verdict) {
			verdict, why = string(stats.Unresolved), "the generator was the limit"
		}
		if c.N > 0 {
			l.put(names[i], m.key, c, verdict, why)
		}
	}
}

func (l *LoadSummary) put(arm, key string, c stats.Comparison, verdict, why string) {
	a := l.arm(arm)
	f := a.Figures[key]
	f.Versus = &Versus{
		N: c.N, Ratio: c.Ratio, Low: c.Interval.Low, High: c.Interval.High,
		P: c.P, Adjusted: c.Adjusted, Verdict: verdict, Why: why,
	}
	a.Figures[key] = f
}

// bounded says whether a verdict on the rate rests on a rate that was the
// generator's: at least so much is more than the reference's, and a reference
// of at least so much is more than the arm's, but no other word holds.
func (l *LoadSummary) bounded(key, arm, reference string, v stats.Verdict) bool {
	own, ref := l.arm(arm).Figures[key].AtLeast, l.arm(reference).Figures[key].AtLeast
	switch v {
	case stats.Higher:
		return ref
	case stats.Lower:
		return own
	}
	return own || ref
}

// word puts a direction into the figure's own word.
func (m metric) word(v stats.Verdict) string {
	good := stats.Lower
	if m.better == higher {
		good = stats.Higher
	}
	switch v {
	case stats.Higher, stats.Lower:
		if v == good {
			return m.words[0]
		}
		return m.words[1]
	}
	return string(v)
}
