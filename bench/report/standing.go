package report

import (
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Standing is how a load stands while a run goes on: the primary figures of
// every arm, each against the reference.
type Standing struct {
	Load      string   // its name
	Reference string   // an arm
	Titles    []string // of the primary figures
	Arms      []ArmStanding
}

// ArmStanding is an arm other than the reference.
type ArmStanding struct {
	Name    string
	Again   bool // the A/A arm
	Rounds  int  // that count, in which the reference counts too
	Decided bool // it is not measured any more
	Figures []FigureStanding
}

// FigureStanding is a figure, as one of Titles.
type FigureStanding struct {
	Ratio, Interval string // as they are printed; "": there is none yet
	// Word is less, more or tie, of an arm that is decided; "open" where even its
	// rounds do not say.
	Word string
}

// Stand is how a load stands after the rounds so far. decided are the arms that
// are not measured under it any more. It takes some ten
// milliseconds in a long run of many arms: not for a time in which something is
// measured.
func Stand(run *record.Run, load record.Load, decided []string) Standing {
	l := judgeLoad(run, load)
	s := Standing{Load: load.Name, Reference: run.Manifest.Reference}
	for _, key := range primary(load) {
		s.Titles = append(s.Titles, l.word(find(key).title))
	}
	for _, a := range l.Arms {
		if a.Name == s.Reference {
			continue
		}
		one := ArmStanding{Name: a.Name, Again: a.Again, Decided: !a.Again && slices.Contains(decided, a.Name)}
		for _, key := range primary(load) {
			v := a.Figures[key].Versus
			if v == nil {
				v = &Versus{}
			}
			one.Rounds = max(one.Rounds, v.N)
			one.Figures = append(one.Figures, v.stand(one.Decided))
		}
		s.Arms = append(s.Arms, one)
	}
	return s
}

// stand is the comparison as it stands. No word is said before its time: to look
// after every round would find differences where there are none.
func (v *Versus) stand(decided bool) (f FigureStanding) {
	if v.N == 0 {
		return f
	}
	f.Ratio = digits(v.Ratio)
	if v.Low > 0 {
		f.Interval = digits(v.Low) + "–" + digits(v.High)
	}
	switch {
	case !decided:
	case v.Verdict == string(stats.Tie):
		f.Word = string(stats.Tie)
	case v.Verdict == string(stats.Unresolved):
		f.Word = "open"
	case v.Ratio < 1:
		f.Word = "less"
	default:
		f.Word = "more"
	}
	return f
}
