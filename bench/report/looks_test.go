package report

import (
	"slices"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// TestAwaited: a decided arm stays for its system calls, but not for
// ever, and not if others need the time.
func TestAwaited(t *testing.T) {
	load := record.Load{Name: "fixed1", Scenario: record.Broadcast, Rate: 1}
	run := func(rounds int, calls func(round int) int64, others ...string) *record.Run {
		arms := []record.Arm{{Name: "ref"}, {Name: "half"}, {Name: "ref.aa", Again: true}}
		for _, name := range others {
			arms = append(arms, record.Arm{Name: name})
		}
		r := &record.Run{Manifest: record.Manifest{Reference: "ref", Arms: arms, Loads: []record.Load{load}, Looks: stats.Looks}}
		for round := 1; round <= rounds; round++ {
			for _, a := range arms {
				cpu, made := int64(10_000+round), int64(1000+round)
				switch a.Name {
				case "half":
					cpu, made = cpu/2, calls(round)
				case "open":
					cpu = cpu * int64(1+round%3)
				}
				one := record.Round{Round: round, Load: load.Name, Arm: a.Name, Wall: time.Second}
				one.Traffic.Messages = 1000
				one.Usage.CPU, one.Usage.Syscalls, one.Traffic.Deliveries, one.Due = &cpu, &made, 1, record.Latency{Count: 1, P50: cpu}
				r.Rounds = append(r.Rounds, one)
			}
		}
		return r
	}
	clear := func(int) int64 { return 100 }
	noisy := func(round int) int64 { return int64(200 * (1 + 7*(round%2))) }
	for _, c := range []struct {
		name string
		run  *record.Run
		want bool
	}{
		{"everything is known", run(8, clear), true},
		{"between two looks", run(9, clear), false},
		{"system calls are open", run(8, noisy), false},
		{"and at the next look", run(12, noisy), false},
		{"they stay open", run(16, noisy), true},
		{"others need the time", run(12, noisy, "open"), true},
	} {
		if got := slices.Contains(Decided(c.run, load), "half"); got != c.want {
			t.Errorf("%s: decided %v, want %v", c.name, got, c.want)
		}
	}
}
