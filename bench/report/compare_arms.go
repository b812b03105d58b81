package report

import (
	"maps"
	"math"
	"slices"

	"chatbench/bench/stats"
)

// all returns the values in the order of rounds: sums of floating-point numbers must not depend on
// the order of a map.
func (s series) all() []float64 {
	xs := make([]float64, 0, len(s))
	for _, round := range slices.Sorted(maps.Keys(s)) {
		xs = append(xs, s[round])
	}
	return xs
}

// pairs returns the values of the rounds that both series have.
func pairs(xs, refs series) (a, b []float64) {
	for _, place := range slices.Sorted(maps.Keys(xs)) {
		if ref, ok := refs[place]; ok {
			a, b = append(a, xs[place]), append(b, ref)
		}
	}
	return a, b
}

// question is one comparison to be judged: an arm in a figure.
type question struct {
	metric
	arm string
	stats.Question
}

// judge gives every comparison under the load its verdict. The primary figures
// of all arms are one family, corrected together. Each other figure is a family
// of its own: exploratory, because there are so many of them that some will differ
// by chance.
func (l *LoadSummary) judge(reference string) {
	var primary []question
	for _, m := range metrics {
		if !m.judged || !m.applies(l.Load) {
			continue
		}
		questions := l.questions(m, reference) // comparisons that mean something
		if l.primary(m.key) {
			primary = append(primary, questions...)
		} else {
			l.settle(questions, reference)
		}
	}
	l.settle(primary, reference)
	l.judgeAgain(reference)
}

// questions returns the comparisons of all arms with the reference in one figure.
func (l *LoadSummary) questions(m metric, reference string) (questions []question) {
	for i := range l.Arms {
		a := &l.Arms[i]
		if a.Name == reference || a.Again {
			continue
		}
		if why, reason := l.notComparable(m.key, a, reference); why != "" {
			l.refuse(m.key, a, reference, why, reason)
		} else {
			questions = append(questions, question{m, a.Name, stats.Question{
				Arm: l.against(m.key, a, reference, a.lastRound), Again: l.aa(m.key, reference, a.lastRound),
			}})
		}
	}
	return questions
}

// against compares an arm, which may be missing, with the reference, up to a
// round: rounds after an arm was decided must not change its result.
func (l *LoadSummary) against(key string, a *ArmSummary, reference string, until int) stats.Comparison {
	logs := l.comparable(key, a, l.arm(reference))
	maps.DeleteFunc(logs, func(round int, _ float64) bool { return round > until })
	return stats.CompareRounds(logs.all())
}

// aa compares the reference with itself up to a round: the last round of the
// arm that is compared with it. The result is the floor of verdicts, letters and plots.
func (l *LoadSummary) aa(key, reference string, until int) stats.Comparison {
	return l.against(key, l.again(), reference, until)
}

// comparable is logRatios of two arms, either of which may be missing; empty
// if they cannot be compared.
func (l *LoadSummary) comparable(key string, a, ref *ArmSummary) series {
	paced := key == keyLogin || key == keyLoginP99
	if a == nil || ref == nil || paced && a.Clients != ref.Clients { // fewer clients in the same time connect at another pace
		return nil
	}
	return l.logRatios(key, a, ref)
}

// logRatios returns one log-ratio of two arms for each round in which both have the
// figure. If arms are measured in turns it is the median over the blocks of
// the round, in which they were measured next to each other: so a disturbed block is
// one of many, and a drift from block to block is in no ratio. A figure
// that no slice has, because it has too few messages, is computed from all slices together.
func (l *LoadSummary) logRatios(key string, a, b *ArmSummary) series {
	logs := make(series)
	if find(key).slice != nil && l.Sliced() {
		for round, blocks := range a.slices[key] {
			if ratios := stats.LogRatios(pairs(blocks, b.slices[key][round])); len(ratios) > 0 {
				logs[round] = stats.Median(ratios)
			}
		}
	}
	if len(logs) > 0 {
		return logs
	}
	for round, x := range a.series[key] {
		if ratio := stats.LogRatios([]float64{x}, []float64{b.series[key][round]}); len(ratio) > 0 { // 0 where it has none
			logs[round] = ratio[0]
		}
	}
	return logs
}

// settle judges one family.
func (l *LoadSummary) settle(family []question, reference string) {
	questions := make([]stats.Question, len(family))
	for i, q := range family {
		questions[i] = q.Question
	}
	judge := stats.Judge
	if l.looks {
		judge = stats.JudgeAtLooks
	}
	for i, c := range judge(questions) {
		q := family[i]
		if own, ref := l.arm(q.arm), l.arm(reference); q.key == keyRate && (own.unsure || ref.unsure) {
			c.Verdict, c.Reason, c.More, c.Why = stats.Unresolved, stats.PerhapsFull, 0, "the server has several CPUs, and nobody knows whether it or the generator was the limit"
		} else if l.bounded(q.key, q.arm, reference, c.Verdict) {
			c.Verdict, c.Reason, c.More, c.Why = stats.Unresolved, stats.FullGenerator, 0, "the generator was the limit, and a faster one could turn this around"
		}
		if c.N > 0 {
			l.put(q.arm, q.key, c, q.word(c.Verdict))
		}
	}
}

// judgeAgain judges whether the reference is equal to itself, and which
// differences the rounds could have found.
func (l *LoadSummary) judgeAgain(reference string) {
	family := max(l.comparisons(reference), 1)
	p := stats.Alpha / float64(family)
	if l.looks {
		p = stats.Bound(family)
	}
	a := l.again()
	for _, m := range metrics {
		if a == nil || !m.judged || !m.applies(l.Load) {
			continue
		}
		if why, reason := l.notComparable(m.key, a, reference); why != "" {
			l.refuse(m.key, a, reference, why, reason)
			continue
		}
		c := l.aa(m.key, reference, math.MaxInt)
		verdict := holds
		switch c.Why = "equal to itself, as it must be"; {
		case c.N == 0:
			continue
		case c.Interval == stats.Interval{}:
			verdict, c.Why, c.Reason = string(stats.Unresolved), "too few rounds for an interval", stats.FewRounds
		case !c.Passes():
			verdict, c.Why = fails, "the reference differs from itself here"
		}
		l.put(a.Name, m.key, c, verdict)
		if !l.primary(m.key) {
			continue
		}
		if x, ok := c.Finds(p); ok {
			l.Finds[m.key] = Finds{Difference: x, MoreRounds: c.MoreRounds(p, stats.Margin), Wanted: stats.Margin}
		}
	}
}

func (l *LoadSummary) put(arm, key string, c stats.Comparison, verdict string) {
	a := l.arm(arm)
	f := a.Figures[key]
	f.Versus = &Versus{
		N: c.N, Ratio: c.Ratio, Low: c.Interval.Low, High: c.Interval.High, SureLow: c.Sure.Low, SureHigh: c.Sure.High,
		P: c.P, Adjusted: c.Adjusted, Primary: l.primary(key), Verdict: verdict,
		Reason: c.Reason, Why: c.Why, MoreRounds: c.More,
	}
	a.Figures[key] = f
}

// bounded says whether a verdict on the rate does not hold because the generator limited a
// rate, which then is only a lower bound. A lower bound of the arm can still be more, and a
// lower bound of the reference can still make the arm less; no other verdict holds.
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

// word is a direction in the figure's own word.
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
