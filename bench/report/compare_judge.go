package report

import (
	"math"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// change is B/A of an arm in one figure.
func (at *pairing) change(key, arm string) stats.Comparison {
	a, b := at.a.arm(arm), at.b.arm(arm)
	if a == nil || b == nil {
		return stats.Comparison{}
	}
	return stats.Independent(logs(a.series[key]), logs(b.series[key]))
}

// logs returns the logarithms of a figure's rounds, without values that are not above zero.
func logs(values series) []float64 {
	xs := values.all()
	ones := make([]float64, len(xs))
	for i := range ones {
		ones[i] = 1
	}
	return stats.LogRatios(xs, ones)
}

// relative is the change of an arm's ratio to the reference.
func (at *pairing) relative(key, arm string) stats.Comparison {
	a := at.a.comparable(key, at.a.arm(arm), at.a.arm(at.reference))
	b := at.b.comparable(key, at.b.arm(arm), at.b.arm(at.reference))
	return stats.Independent(a.all(), b.all())
}

// judge gives every comparison its verdict: of B/A the primary figures of all
// arms are one family, each other figure is one by itself; the same goes for the
// relative changes. B/A of an arm must exceed the change of the reference,
// and a relative change must exceed the change of A/A.
func (at *pairing) judge(l *PairLoad) {
	var changes, relatives []question
	for _, m := range metrics {
		if !m.applies(l.Load) {
			continue
		}
		if !m.judged {
			at.plain(l, m)
			continue
		}
		reference := at.change(m.key, at.reference)
		again := at.relative(m.key, at.reference+record.AgainSuffix)
		if !at.refuse(l, m, at.reference) {
			at.alone(l, m, reference, again)
		}
		var some, others []question
		for _, arm := range l.Arms {
			if arm.Name == at.reference || arm.Again || at.refuse(l, m, arm.Name) {
				continue
			}
			some = append(some, question{m, arm.Name, stats.Question{Arm: at.change(m.key, arm.Name), Again: reference}})
			if at.reference != "" {
				others = append(others, question{m, arm.Name, stats.Question{Arm: at.relative(m.key, arm.Name), Again: again}})
			}
		}
		if at.b.primary(m.key) {
			changes, relatives = append(changes, some...), append(relatives, others...)
			continue
		}
		at.settle(l, some, setChange)
		at.settle(l, others, setRelative)
	}
	at.settle(l, changes, setChange)
	at.settle(l, relatives, setRelative)
	at.trust(l)
}

// plain is B/A of a figure that is not judged.
func (at *pairing) plain(l *PairLoad, m metric) {
	for _, arm := range l.Arms {
		if c := at.change(m.key, arm.Name); c.N > 0 && !math.IsNaN(c.Ratio) {
			at.put(l, m, arm.Name, c, "", "not judged", setChange)
		}
	}
}

// alone handles the reference, from which nothing is subtracted, and the A/A arm.
func (at *pairing) alone(l *PairLoad, m metric, reference, again stats.Comparison) {
	if at.reference == "" {
		return
	}
	one := stats.Comparison{N: reference.N, Ratio: 1, Interval: stats.Interval{Low: 1, High: 1}}
	at.settle(l, []question{{m, at.reference, stats.Question{Arm: reference, Again: one}}}, setChange)
	name := at.reference + record.AgainSuffix
	if c := at.change(m.key, name); c.N > 0 {
		at.settle(l, []question{{m, name, stats.Question{Arm: c, Again: reference}}}, setChange)
	}
	switch {
	case again.N == 0:
	case again.Interval == stats.Interval{}:
		at.put(l, m, name, again, string(stats.Unresolved), "too few rounds for an interval", setRelative)
	case again.Passes():
		at.put(l, m, name, again, holds, "A/A is the same in both runs, as it must be", setRelative)
	default:
		at.put(l, m, name, again, fails, "A/A is not the same in both runs", setRelative)
	}
}

// refuse gives an arm whose server was full in either run the verdict that a
// figure means nothing: the ratios without an interval or a p-value.
func (at *pairing) refuse(l *PairLoad, m metric, arm string) bool {
	for _, of := range []*LoadSummary{&at.a, &at.b} {
		a := of.arm(arm)
		if a == nil {
			continue
		}
		why, reason := of.notComparable(m.key, a, at.reference)
		if why == "" {
			continue
		}
		for _, one := range []struct {
			stats.Comparison
			set func(*Changed, *Versus)
		}{{at.change(m.key, arm), setChange}, {at.relative(m.key, arm), setRelative}} {
			if c := one.Comparison; c.N > 0 && arm != at.reference {
				c.Interval, c.P, c.Adjusted = stats.Interval{}, 1, 1
				at.put(l, m, arm, c, refused(reason), why, one.set)
			}
		}
		return true
	}
	return false
}

func setChange(c *Changed, v *Versus)   { c.Change = v }
func setRelative(c *Changed, v *Versus) { c.Relative = v }

// settle judges one family.
func (at *pairing) settle(l *PairLoad, family []question, set func(*Changed, *Versus)) {
	questions := make([]stats.Question, len(family))
	for i, q := range family {
		questions[i] = q.Question
	}
	for i, c := range stats.Judge(questions) {
		q := family[i]
		if c.N == 0 || math.IsNaN(c.Ratio) {
			continue
		}
		verdict, why := q.word(c.Verdict), c.Why
		if q.Again.N == 0 && c.Verdict == stats.Unresolved {
			why = "the runs have no reference in common that was measured twice"
		}
		if at.atLeast(q.key, q.arm) {
			verdict, why = string(stats.Unresolved), "the generator was the limit, or may have been"
		}
		at.put(l, q.metric, q.arm, c, verdict, why, set)
	}
}

// atLeast says whether in either run the generator limited a rate, or may have done so.
func (at *pairing) atLeast(key, arm string) bool {
	for _, l := range []*LoadSummary{&at.a, &at.b} {
		if a := l.arm(arm); a != nil && (a.Figures[key].AtLeast || key == keyRate && a.unsure) {
			return true
		}
	}
	return false
}

func (at *pairing) put(l *PairLoad, m metric, arm string, c stats.Comparison, verdict, why string, set func(*Changed, *Versus)) {
	for i := range l.Arms {
		if l.Arms[i].Name != arm {
			continue
		}
		f, ok := l.Arms[i].Figures[m.key]
		if !ok {
			continue
		}
		set(&f, &Versus{
			N: c.N, Ratio: c.Ratio, Low: c.Interval.Low, High: c.Interval.High, SureLow: c.Sure.Low, SureHigh: c.Sure.High,
			P: c.P, Adjusted: c.Adjusted, Primary: at.b.primary(m.key), Verdict: verdict, Why: why,
		})
		l.Arms[i].Figures[m.key] = f
	}
}

// trust determines for each figure which comparison can be trusted. B/A can if machine and
// method are the same and the reference is a tie with itself in the other run:
// then the machine was in the same state. Otherwise only the relative change can.
func (at *pairing) trust(l *PairLoad) {
	tie := make(map[string]bool)
	for _, arm := range l.Arms {
		for key, f := range arm.Figures {
			if arm.Name == at.reference && f.Change != nil {
				tie[key] = f.Change.Verdict == string(stats.Tie)
			}
		}
	}
	for _, arm := range l.Arms {
		for key, f := range arm.Figures {
			switch {
			case f.Change == nil || at.reference == "":
				continue
			case at.same && (tie[key] || arm.Name == at.reference):
				f.Trust = TrustBoth
			case f.Relative != nil:
				f.Trust = TrustRelative
			}
			arm.Figures[key] = f
		}
	}
}
