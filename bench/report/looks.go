package report

import (
	"fmt"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Decided returns the arms that need no more rounds under a load: arms whose number of rounds is
// that of one of the looks, and whose primary figures all have a
// verdict then (a full server is a verdict too: more rounds would not change it), or that have had the last look. If nothing is compared, the
// A/A arm is decided at the first look. If no other arm is open, an arm also waits
// for a verdict on system calls and p50, which users ask for first, up to a later look.
func Decided(run *record.Run, load record.Load) (arms []string) {
	l := judgeLoad(run, load)
	looks := run.Manifest.Looks
	for _, a := range l.Arms {
		alone := len(l.Arms) == 2 && a.Again
		if a.Name == run.Manifest.Reference || a.Again && !alone {
			continue
		}
		rounds := 0
		for _, key := range primary(load) {
			if v := a.Figures[key].Versus; v != nil {
				rounds = max(rounds, v.N)
			}
		}
		settled := l.settled(a) && (rounds >= awaitedLook || l.open(a.Name, run.Manifest.Reference) || l.awaitedDecided(a))
		if slices.Contains(looks, rounds) && (alone || settled || rounds == looks[len(looks)-1]) {
			arms = append(arms, a.Name)
		}
	}
	return arms
}

// awaitedLook is how many rounds an arm stays for at most because of figures that do not
// decide it.
const awaitedLook = 16

// open says whether an arm other than this one has a primary figure without a verdict.
func (l *LoadSummary) open(name, reference string) bool {
	return slices.ContainsFunc(l.Arms, func(a ArmSummary) bool {
		return a.Name != name && a.Name != reference && !a.Again && !l.settled(a)
	})
}

// awaitedDecided says whether all awaited figures that exist have a verdict.
func (l *LoadSummary) awaitedDecided(a ArmSummary) bool {
	return !slices.ContainsFunc([]string{keySyscalls, keyP50}, func(key string) bool {
		v := a.Figures[key].Versus
		return v != nil && v.open()
	})
}

// settled says whether all primary figures of an arm have a verdict, or will never have one.
func (l *LoadSummary) settled(a ArmSummary) bool {
	return !slices.ContainsFunc(primary(l.Load), func(key string) bool {
		v := a.Figures[key].Versus
		return v == nil || v.open()
	})
}

// open says whether more rounds might lead to a verdict.
func (v *Versus) open() bool {
	return v.Verdict == string(stats.Unresolved) && v.Reason != stats.PerhapsFull
}

// MostlyVoid says whether more than half of the rounds do not count.
func MostlyVoid(run *record.Run) bool {
	t := tallyOf(run)
	return mostly(t.void, t.rounds)
}

func mostly(void, rounds int) bool { return 2*void > rounds }

// Disturbed says whether the run is too disturbed for a verdict: more than
// half of its rounds are void, an arm has no round that counts, or a server was
// starved, so that it is not known whether it lost what was missing.
func (s *Summary) Disturbed() bool {
	return disturbed(s.Checks.Void, s.Checks.VoidRounds, s.Checks.Rounds, s.Loads)
}

func disturbed(void map[record.Reason]int, voids, rounds int, loads []LoadSummary) bool {
	none := func(a ArmSummary) bool { return a.Rounds == 0 }
	return void[record.Starved] > 0 || mostly(voids, rounds) ||
		slices.ContainsFunc(loads, func(l LoadSummary) bool { return slices.ContainsFunc(l.Arms, none) })
}

// enough is the check that there were as many rounds as planned or needed. measured is
// how many were measured.
func enough(run *record.Run, s *Summary, measured int) (name string, ok bool, detail string) {
	m := &run.Manifest
	if len(m.Looks) == 0 {
		planned := m.Rounds * len(m.Arms) * len(m.Loads)
		return "every round was run", measured == planned, fmt.Sprintf("%d of %d", measured, planned)
	}
	last := 0
	var open []string
	for i := range s.Loads {
		l := &s.Loads[i]
		for _, a := range l.Arms {
			last = max(last, a.lastRound)
			if a.Name != s.Reference && !a.Again && !l.settled(a) {
				open = append(open, a.Name+" "+l.short())
			}
		}
	}
	detail = fmt.Sprintf("ended after %d rounds: %s", last, map[record.End]string{
		record.AllDecided:   "there is no more to decide",
		record.AllRounds:    "more are never tried",
		record.OutOfBudget:  fmt.Sprintf("the budget of %v was used up", m.Budget),
		record.TooDisturbed: "most of what was measured was void",
	}[m.Ended])
	for i, one := range open {
		if i == 0 {
			detail += "; open:"
		} else {
			detail += ","
		}
		detail += " " + one
	}
	return "everything was decided", len(open) == 0 && m.Ended != record.TooDisturbed, detail
}
