package report

import (
	"fmt"
	"slices"

	"chatbench/bench/record"
	"chatbench/bench/rules"
)

// limited is what a CPU limit did to a run.
type limited struct {
	rounds int     // void or not, in which it stopped servers and generator for long enough to matter
	void   int     // of these
	of     int     // all rounds
	most   float64 // the largest share of a round
	cpus   int     // in use
}

func limitedOf(run *record.Run) (l limited) {
	m := &run.Manifest
	cpus := slices.Concat(m.ServersCPUs(), m.GeneratorCPUs)
	slices.Sort(cpus)
	l.cpus = len(slices.Compact(cpus))
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm == record.NullArm {
			continue
		}
		l.of++
		if rules.Limited(r.Usage, m.Rules) {
			l.rounds, l.most = l.rounds+1, max(l.most, *r.Usage.Throttled)
			if !r.Counts() {
				l.void++
			}
		}
	}
	return l
}

// LimitAdvice says that a CPU limit stopped what was measured, and what to do about it; "" if none did.
func (s *Summary) LimitAdvice() string {
	l := s.limited
	if l.rounds == 0 {
		return ""
	}
	return fmt.Sprintf("the CPU limit of this container or cgroup stopped the server in %d of %d rounds, for up to %.0f %% of the time; measure without a limit, or with one above %d CPUs",
		l.rounds, l.of, 100*l.most, l.cpus)
}
