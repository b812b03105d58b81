package report

import (
	"maps"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// shifts computes how latency changed from one run to another, at each percentile that
// the rounds of both determine: for each arm, and for its ratio to the reference. The
// rounds of two runs are not pairs, so the band is that of two samples of curves.
func (l *PairLoad) shifts(a, b *record.Run, was record.Load, reference string) {
	for _, arm := range l.Arms {
		shares := sharesTo(min(messages(a, was, arm.Name), messages(b, l.Load, arm.Name)))
		if shares == nil {
			continue
		}
		from, to := unpaired(a, was, arm.Name, shares), unpaired(b, l.Load, arm.Name, shares)
		if len(from) > 0 && len(to) > 0 {
			band, _ := stats.SimultaneousBetween(from, to)
			l.Shifts = append(l.Shifts, newShift(arm.Arm, shares, band, len(from), len(to)))
		}
		if reference == "" || arm.Name == reference {
			continue
		}
		shares = sharesTo(min(messages(a, was, arm.Name), messages(b, l.Load, arm.Name), messages(a, was, reference), messages(b, l.Load, reference)))
		from, to = pairedCurves(a, was, arm.Name, reference, shares), pairedCurves(b, l.Load, arm.Name, reference, shares)
		if len(from) > 0 && len(to) > 0 {
			band, _ := stats.SimultaneousBetween(from, to)
			l.Relative = append(l.Relative, newShift(arm.Arm, shares, band, len(from), len(to)))
		}
	}
}

// unpaired is latencyCurves in the order of rounds.
func unpaired(run *record.Run, load record.Load, arm string, shares []float64) (curves [][]float64) {
	of := latencyCurves(run, load, arm, shares)
	for _, round := range slices.Sorted(maps.Keys(of)) {
		curves = append(curves, of[round])
	}
	return curves
}

// shiftOfArm finds a shift by its arm's name; nil: there is none.
func shiftOfArm(all []Shift, arm string) *Shift {
	for i := range all {
		if all[i].Arm == arm {
			return &all[i]
		}
	}
	return nil
}
