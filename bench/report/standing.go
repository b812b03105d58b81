package report

import (
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Standing is the state of a load during a run: the primary figures of
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
	// Word is less, more or tie, for an arm that is decided; "open" if its
	// rounds do not decide it.
	Word string
}

// StandingOf is the state of a load after the rounds so far. decided are the arms that
// are not measured under it any more. It takes some ten
// milliseconds in a long run of many arms: do not call it while something is
// measured.
func StandingOf(run *record.Run, load record.Load, decided []string) Standing {
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
			one.Figures = append(one.Figures, v.standing(one.Decided))
		}
		s.Arms = append(s.Arms, one)
	}
	return s
}

// standing is the state of the comparison. There is no verdict before the arm is decided: looking
// after every round would find differences where there are none.
func (v *Versus) standing(decided bool) (f FigureStanding) {
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
