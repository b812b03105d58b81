// Package rules decides which rounds count. The rules are fixed before the
// first round (record.Rules) and need nothing but what a round's record holds,
// so that anybody can apply them again.
//
// It refuses to drop anything: a void round stays in the files with its
// reasons. Every function is pure.
package rules

import (
	"math"
	"slices"

	"chatbench/bench/record"
)

// Facts are what a record says beside its numbers: things that were seen to
// happen. They void a round and are taken as they stand.
var facts = []record.Reason{record.NotStarted, record.ServerDied, record.LoadFailed}

// Judge gives the reasons for which a round is void and the marks it carries.
// ceiling is what the generator reached against the null server under the same
// load, in deliveries a second; 0 if that is not known.
func Judge(r record.Round, l record.Load, rules record.Rules, ceiling float64) (void, marks []record.Reason) {
	for _, fact := range facts {
		if slices.Contains(r.Void, fact) {
			void = append(void, fact)
		}
	}
	for _, breach := range []struct {
		count  int64
		reason record.Reason
	}{
		{r.Traffic.Lost, record.Lost}, {r.Traffic.Duplicated, record.Duplicated},
		{r.Traffic.Reordered, record.Reordered}, {r.Traffic.Altered, record.Altered},
	} {
		if breach.count > 0 {
			void = append(void, breach.reason)
		}
	}
	if r.Usage.Steal != nil && *r.Usage.Steal > rules.StealMax {
		void = append(void, record.Steal)
	}
	if len(void) > 0 && slices.ContainsFunc(void, func(v record.Reason) bool { return slices.Contains(facts, v) }) {
		return void, nil // the numbers of a round that broke off say nothing more
	}
	if !limited(r, l, rules, ceiling) {
		return void, nil
	}
	if l.Open() {
		return append(void, record.GeneratorLimited), nil
	}
	return void, []record.Reason{record.GeneratorLimited}
}

// limited says whether what was measured is the generator rather than the
// server: late or off its rate in an open loop, near its ceiling in a closed one.
func limited(r record.Round, l record.Load, rules record.Rules, ceiling float64) bool {
	if l.Open() {
		return RateError(r, l) > rules.RateError || r.Lag.P99 > int64(rules.LagP99Max)
	}
	return ceiling > 0 && r.Arm != record.NullArm && PerSecond(r) > rules.CeilingShare*ceiling
}

// PerSecond is the deliveries of a round a second.
func PerSecond(r record.Round) float64 {
	if r.Wall <= 0 {
		return 0
	}
	return float64(r.Traffic.Deliveries) / r.Wall.Seconds()
}

// RateError is how far an open loop was off its rate, relatively. Poisson
// arrivals are off by chance: what three standard deviations of the number of
// messages explain is not counted.
func RateError(r record.Round, l record.Load) float64 {
	due := l.Rate * r.Wall.Seconds()
	if due <= 0 {
		return math.Inf(1)
	}
	off := math.Abs(float64(r.Traffic.Messages) - due)
	if l.Arrivals == "poisson" {
		off = max(0, off-3*math.Sqrt(due))
	}
	// One message more or less is where the section was cut, not the rate.
	return max(0, off-1) / due
}
