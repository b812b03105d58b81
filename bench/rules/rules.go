// Package rules decides which rounds count. The rules are fixed before the
// first round (record.Rules) and need nothing but a round's record,
// so that anybody can apply them again.
//
// It drops nothing: a void round stays in the files with its
// reasons. Every function is pure.
package rules

import (
	"cmp"
	"math"
	"slices"

	"chatbench/bench/record"
)

// observed are the reasons that the record of a broken-off round has in addition to its numbers:
// they were observed when it happened, so there are no numbers, or none that can be
// trusted. They void the round without further checks. Disturbed is one of them,
// because Judge replaces TargetMissed by it if the server is excused.
var observed = []record.Reason{
	record.Disconnected, record.TargetMissed, record.ServerDied, record.NotStarted, record.Starved, record.LoadFailed, record.AgentLost,
}

// sectionErrorMax is how far, relatively, the time over which CPU was measured may differ from the timed section,
// if agents drove the load.
const sectionErrorMax = 0.002

// sectionIsOff says whether it differs by more.
func sectionIsOff(r record.Round) bool {
	return r.Usage.Cut > 0 && math.Abs(float64(r.Usage.Cut-r.Wall)) > sectionErrorMax*float64(r.Wall)
}

// Judge returns the reasons for which a round is void and the marks it carries. A
// round that broke off is always void. Judging a round again after its void reasons and marks were set
// changes nothing.
//
// ceiling is the rate of the generator against the null server under the same
// load, in deliveries a second; 0 if that is not known.
func Judge(r record.Round, l record.Load, rules record.Rules, ceiling float64) (void, marks []record.Reason) {
	t := r.Traffic
	broken := r.Error != ""
	late, slow, few := false, false, false
	foreign, stopped, excuse := share(r.Usage.Foreign), share(r.Usage.Throttled), cmp.Or(rules.ExcuseMax, rules.ForeignMax)
	limited := stopped > excuse || !l.Sliced() && Limited(r.Usage, rules) // a slice has time to drain
	excused := limited || foreign > excuse
	missed := broken && slices.Contains(r.Void, record.TargetMissed)
	disturbed := foreign > rules.ForeignMax || stopped > rules.StealMax || missed && excused || broken && slices.Contains(r.Void, record.Disturbed)
	switch {
	case broken:
	case l.Sliced():
		count, undrained := tally(r.Slices)
		few = float64(count) < rules.SlicesShare*float64(l.Slices)
		slow = l.Open() && 2*undrained > l.Slices
	case l.Open():
		late, slow = Late(r, l, rules)
	case l.Scenario == record.Idle:
		late = float64(r.Lag.P99) > rules.LagShare*float64(rules.Objective)
	case l.Closed() && t.Deliveries == 0: // nothing was delivered at all
		late = t.GeneratorRan < rules.RanShare
		slow = !late
	}
	for reason, holds := range map[record.Reason]bool{
		record.Lost:             t.Lost > 0,
		record.Duplicated:       t.Duplicated > 0,
		record.Reordered:        t.Reordered > 0,
		record.Altered:          t.Altered > 0,
		record.OtherOrder:       t.OtherOrder > 0,
		record.TargetMissed:     slow && !excused, // the server is excused otherwise
		record.Disturbed:        disturbed || slow && limited,
		record.GeneratorLimited: late || sectionIsOff(r),
		record.Steal:            share(r.Usage.Steal) > rules.StealMax,
		record.FewSlices:        few,
		record.AgentLost:        r.AgentsChanged,
	} {
		if holds {
			void = append(void, reason)
		}
	}
	for _, fact := range observed {
		if broken && slices.Contains(r.Void, fact) && !slices.Contains(void, fact) && !(fact == record.TargetMissed && excused) {
			void = append(void, fact)
		}
	}
	if broken && len(void) == 0 {
		void = append(void, record.LoadFailed) // the record has no reason
	}
	slices.SortFunc(void, func(a, b record.Reason) int {
		return slices.Index(record.Reasons, a) - slices.Index(record.Reasons, b)
	})
	near := ceiling > 0 && r.Arm != record.NullArm && PerSecond(r) > rules.CeilingShare*ceiling
	if !broken && !late && l.Closed() && (near || t.GeneratorRan < rules.RanShare) {
		marks = append(marks, record.GeneratorLimited)
	}
	return void, marks
}

// Limited says whether a CPU limit stopped a server for so long that this alone may have kept it
// from its rate in one piece: for a larger share of the time than the rate may be off.
func Limited(u record.Usage, rules record.Rules) bool {
	return share(u.Throttled) > rules.RateError
}

// share is a share of the CPUs that may not have been measured.
func share(measured *float64) float64 {
	if measured == nil {
		return 0
	}
	return *measured
}

// Slice returns the reasons for which a slice is void. None of them depends on the figures in
// which arms are compared.
func Slice(s record.Slice, l record.Load, rules record.Rules) (void []record.Reason) {
	late := l.Open() && (float64(s.LagP99) > rules.LagShare*float64(rules.Objective) || generatorTooBusy(s.Busy, rules)) || s.Deliveries == 0
	if late {
		void = append(void, record.GeneratorLimited)
	}
	if s.Drain > rules.DrainMax {
		void = append(void, record.NotDrained)
	}
	return void
}

// tally is how many slices count, and how many were not drained in time.
func tally(slices []record.Slice) (count, undrained int) {
	for i := range slices {
		if slices[i].Counts() {
			count++
		} else if slices[i].Void[len(slices[i].Void)-1] == record.NotDrained {
			undrained++
		}
	}
	return count, undrained
}

// generatorTooBusy says whether a generator that was busy for this share of its time
// had its own queue in the latencies.
func generatorTooBusy(busy float64, rules record.Rules) bool {
	return rules.GeneratorMax > 0 && busy > rules.GeneratorMax
}

// Late says, for an open loop, whether the generator was late, off its rate or too
// busy, and whether the server did not keep up: did not read what was due, or did
// not deliver it in the section. A delivery may take as long as the objective,
// so the last ones may be missing.
func Late(r record.Round, l record.Load, rules record.Rules) (generator, server bool) {
	t := r.Traffic
	due := float64(t.Due)
	missed := math.Abs(float64(t.Messages)-due)/max(due, 1) > rules.RateError
	generator = rateError(t.Due, r, l) > rules.RateError ||
		missed && t.Stalled == 0 ||
		float64(max(r.Lag.P99, t.GeneratorLag)) > rules.LagShare*float64(rules.Objective) ||
		generatorTooBusy(t.GeneratorBusy, rules)
	short := 1 - float64(t.Deliveries)/max(float64(t.Expected), 1)
	server = missed && t.Stalled > 0 ||
		!generator && short > rules.RateError+rules.Objective.Seconds()/r.Wall.Seconds()
	return generator, server
}

// PerSecond is the deliveries of a round per second.
func PerSecond(r record.Round) float64 {
	if r.Wall <= 0 {
		return 0
	}
	return float64(r.Traffic.Deliveries) / r.Wall.Seconds()
}

// rateError is how far, relatively, the number of messages due was off the rate.
// Poisson arrivals are off by chance: what three standard deviations of the
// number of messages explain is not counted.
func rateError(messages int64, r record.Round, l record.Load) float64 {
	wanted := l.Rate * r.Wall.Seconds()
	off := math.Abs(float64(messages) - wanted)
	if l.Arrivals == "poisson" {
		off = max(0, off-3*math.Sqrt(wanted))
	}
	// One message more or less depends on the edges of the section, not on the rate.
	return max(0, off-1) / wanted
}
