package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Ranking is the arms of a load in the order of what they cost: the verdict of
// a run in its simplest form.
type Ranking struct {
	Figure string `json:"figure"` // the key of the load's first primary figure
	Title  string `json:"title"`  // it in words: "CPU per delivery"
	Unit   string `json:"unit"`   // of RankRow.Text
	// Best is the arm of rank 1.
	Best string `json:"best"`
	// Bound is the largest corrected p-value at which a pair can be told apart.
	Bound float64 `json:"bound"`
	// Note is why no two arms can be told apart; "" if they can.
	Note string    `json:"note,omitempty"`
	Rows []RankRow `json:"rows"`
}

// RankRow is one arm; the A/A arm has none.
type RankRow struct {
	Rank int    `json:"rank,omitempty"` // from 1; 0: it could not be compared, and Note says why
	Arm  string `json:"arm"`
	// Letters is the compact letter display: two arms share a letter exactly if
	// they cannot be told apart. "" if Rank is 0.
	Letters string  `json:"letters,omitempty"`
	Value   float64 `json:"value"` // the median of the rounds, in base units
	Text    string  `json:"text"`  // the same as it is printed, ≤ before what is an upper bound
	AtMost  bool    `json:"at_most,omitempty"`
	// ToBest is the ratio to the best, over the rounds that both have. nil: for the best
	// itself, and if there is none.
	ToBest *Ratio `json:"to_best,omitempty"`
	// Note is why nothing is certain: "few rounds", "server full".
	Note string `json:"note,omitempty"`
	// Why is what explains most of what the arm costs more than the best; "" if
	// that is under 5 %, uncertain, or not explained by anything that was measured.
	Why string `json:"why,omitempty"`
}

// Ratio is a ratio with its 95 % interval: of the signed-rank test, by Walsh
// averages. Low and High are 0 if there is none: below six rounds.
type Ratio struct {
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
}

// ranked is an arm that is being ranked.
type ranked struct {
	*ArmSummary
	place float64 // its log-ratio to the reference; NaN: none
}

// rank computes the ranking of a load; nil if there is only one arm.
//
// Arms are ordered by their ratio to the reference, the Hodges–Lehmann center
// over the rounds that both have, and not by their medians: the median of an arm that left the
// run early, or lost rounds, is of other rounds than those of the others.
func (l *LoadSummary) rank(run *record.Run) *Ranking {
	m := find(primary(l.Load)[0])
	r := &Ranking{Figure: m.key, Title: l.word(m.title), Unit: m.unit, Bound: stats.Alpha}
	if l.looks {
		r.Bound = stats.Bound(1)
	}
	ref := l.arm(run.Manifest.Reference)
	var arms, without []ranked
	for i := range l.Arms {
		a := &l.Arms[i]
		switch place := stats.Center(l.logRatios(m.key, a, ref).all()); {
		case a.Again:
		case math.IsNaN(place):
			without = append(without, ranked{a, place})
		default:
			arms = append(arms, ranked{a, place})
		}
	}
	if len(arms)+len(without) < 2 {
		return nil
	}
	slices.SortStableFunc(arms, func(a, b ranked) int { return cmp.Compare(a.place, b.place) })
	letters := l.letters(m, arms, ref, r.Bound)
	if why := l.fullReference(m.key, ref.Name); why != "" {
		r.Note = "No two can be told apart: the error of the machine is not known, for " + why
	}
	for i, a := range arms {
		row := l.row(m, a.ArmSummary)
		row.Rank, row.Letters = i+1, letters[i]
		if i == 0 {
			r.Best = a.Name
		} else {
			row.ToBest = l.toBest(m.key, a.ArmSummary, arms[0].ArmSummary)
			own, best := l.uses(run, m.key, a.ArmSummary, arms[0].ArmSummary)
			row.Why = l.why(m.key, own, best, row.ToBest)
		}
		r.Rows = append(r.Rows, row)
	}
	for _, a := range without {
		row := l.row(m, a.ArmSummary)
		if row.Note == "" {
			row.Note = "no round in common with " + ref.Name
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

// row is the row of an arm without its comparisons.
func (l *LoadSummary) row(m metric, a *ArmSummary) RankRow {
	row := RankRow{Arm: a.Name, Text: "–", Note: l.note(m.key, a)}
	if f, ok := a.Figures[m.key]; ok {
		row.Value, row.Text, row.AtMost = f.Median, f.value(m, false), f.AtMost
	}
	return row
}

// toBest is the ratio of an arm to the best; nil if they have no round in
// common. The ratio of an upper bound has no interval.
func (l *LoadSummary) toBest(key string, a, best *ArmSummary) *Ratio {
	c := stats.CompareRounds(l.logRatios(key, a, best).all())
	switch {
	case c.N == 0:
		return nil
	case slices.Contains(capped, key) && (a.fullReason() != "" || best.fullReason() != ""):
		return &Ratio{Ratio: c.Ratio}
	}
	return &Ratio{c.Ratio, c.Interval.Low, c.Interval.High}
}

// note is the first reason to trust a row less, or not at all.
func (l *LoadSummary) note(key string, a *ArmSummary) string {
	v, all := a.Figures[key].Versus, a.Rounds+a.Void
	switch {
	case all == 0:
		return "no round"
	case a.Rounds == 0:
		return fmt.Sprintf("none of %d rounds counts", all)
	case a.Figures[key].N == 0:
		return "not measured"
	case a.fullReason() != "":
		return string(a.fullReason())
	case a.Limit == "generator":
		return string(stats.FullGenerator)
	case 4*a.Void >= all:
		return fmt.Sprintf("disturbed: %d of %d rounds void", a.Void, all)
	case v != nil && v.Reason == stats.FewRounds:
		return v.reason()
	}
	return ""
}

// letters returns the compact letter display of the arms, in order.
func (l *LoadSummary) letters(m metric, arms []ranked, ref *ArmSummary, bound float64) []string {
	apart := make(map[[2]int]bool)
	var family [][]float64
	var of [][2]int
	for i := range arms {
		for j := range i {
			a, b, pair := arms[i].ArmSummary, arms[j].ArmSummary, [2]int{j, i}
			switch logs := l.logRatios(m.key, a, b); {
			case b == ref:
				apart[pair] = a.Figures[m.key].Versus.differs()
			case a == ref:
				apart[pair] = b.Figures[m.key].Versus.differs()
			default:
				apart[pair] = l.clear(m.key, a, b, ref, logs)
			}
			if l.comparablePair(m.key, a, b, ref) {
				family, of = append(family, l.padded(l.logRatios(m.key, a, b))), append(of, pair)
			}
		}
	}
	for k, p := range stats.StepDown(family) {
		a, b := arms[of[k][0]].ArmSummary, arms[of[k][1]].ArmSummary
		if a != ref && b != ref && p > bound {
			apart[of[k]] = false
		}
	}
	return stats.Letters(len(arms), func(i, j int) bool { return apart[[2]int{min(i, j), max(i, j)}] })
}

// clear says whether two arms may be told apart, apart from chance: whether the
// interval of their ratio goes beyond a tie, and lies outside the difference of the reference
// from itself up to the same round.
func (l *LoadSummary) clear(key string, a, b, ref *ArmSummary, logs series) bool {
	if !l.comparablePair(key, a, b, ref) {
		return false
	}
	c := stats.CompareRounds(logs.all())
	floor, none := l.aa(key, ref.Name, min(a.lastRound, b.lastRound)).Floor(), stats.Interval{}
	return c.Interval != none && floor != none && !c.Interval.Within(stats.TieBand) && c.Interval.Outside(floor)
}

// comparablePair says whether a ratio of two arms means anything: not if the
// server of either was full, nor if the server of the reference was, because then the difference of
// the reference from itself is not the error of the machine.
func (l *LoadSummary) comparablePair(key string, arms ...*ArmSummary) bool {
	return !slices.Contains(capped, key) || !slices.ContainsFunc(arms, func(a *ArmSummary) bool { return a.fullReason() != "" })
}

// padded is a series over all rounds up to the last, NaN where it has none.
func (l *LoadSummary) padded(s series) []float64 {
	last := 0
	for i := range l.Arms {
		last = max(last, l.Arms[i].lastRound)
	}
	logs := slices.Repeat([]float64{math.NaN()}, last)
	for round, x := range s {
		logs[round-1] = x
	}
	return logs
}
