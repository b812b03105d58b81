package report

import (
	"fmt"
	"slices"

	"chatbench/bench/record"
)

// pilotText says in a sentence how the rate of the open loop was chosen, or why
// it could not be: then the plan's own rate was kept.
func pilotText(p *record.Pilot) string {
	chosen := slices.ContainsFunc(p.Tried, func(one record.PilotRate) bool {
		return one.Rate == p.Rate && one.Slices > 0 && !one.Disturbed && one.Error == ""
	})
	if !chosen {
		return fmt.Sprintf("the pilot found no rate, so it is %s messages/s: %s.", count(p.Rate), p.Why)
	}
	return fmt.Sprintf("the pilot, with %s, chose %s messages/s: %s.", p.Arm, count(p.Rate), p.Why)
}

// pilotOf returns the pilot of a load; nil if its rate was given.
func pilotOf(m *record.Manifest, load record.Load) *record.Pilot {
	if m.Pilot == nil || load.Scenario != record.Broadcast || load.Rate != m.Pilot.Rate {
		return nil
	}
	return m.Pilot
}

// piloted advises on loads of two runs that differ only in a rate that
// a pilot chose: with a given rate they could be compared.
func piloted(a, b *record.Manifest) (lines []string) {
	for _, was := range a.Loads {
		for _, load := range b.Loads {
			if pilotOf(a, was) == nil && pilotOf(b, load) == nil || !was.Open() || !load.Open() || was.Rate == load.Rate {
				continue
			}
			one, other := work(was), work(load)
			one.Name, one.Rate = other.Name, other.Rate
			if one == other {
				lines = append(lines, fmt.Sprintf("loads %s and %s differ only in the rate that a pilot chose: measure both runs with -rate %.0f to compare them.", was.Name, load.Name, was.Rate))
			}
		}
	}
	return lines
}
