package report

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// simRuns makes the simulations long, and print their rates:
//
//	go test ./bench/report -run Stopping -sim.runs 2000 -timeout 2h -v
var simRuns = flag.Int("sim.runs", 0, "runs of each simulation of the stopping rule; 0: a few, in seconds")

// fewRuns is how many runs of a simulation there are by default. They are arithmetic in one goroutine: under the race
// detector, where they take many times as long, a tenth shows that they run.
func fewRuns(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// noisy is what a figure of an arm may be disturbed by in a round.
type noisy struct {
	name string
	of   func(*rand.Rand) float64 // of the logarithm
}

func normal(sd float64) noisy {
	return noisy{fmt.Sprintf("normal, %.0f %%", 100*sd), func(r *rand.Rand) float64 { return sd * r.NormFloat64() }}
}

// wild is normal but for one round in ten, which is six times as far off.
func wild(sd float64) noisy {
	return noisy{fmt.Sprintf("heavy, %.0f %%", 100*sd), func(r *rand.Rand) float64 {
		x := sd * r.NormFloat64()
		if r.IntN(10) == 0 {
			x *= 6
		}
		return x
	}}
}

// simulated is a run that takes as many rounds as it needs, as bench goes about
// it: looks by Decided, void rounds replaced, an end by the budget.
type simulated struct {
	loads  []record.Load
	arms   int     // besides the reference and itself
	factor float64 // of all figures of those arms
	only   string  // under this load alone; "": under all
	noise  noisy
	void   float64 // share of rounds that do not count
	budget int     // rounds, those that do not count too
}

var (
	simOpen   = record.Load{Name: "fixed1000", Scenario: record.Broadcast, Clients: 1, Rate: 1000, Arrivals: "fixed", Duration: time.Second}
	simClosed = record.Load{Name: "window128", Scenario: record.Broadcast, Clients: 1, Window: 128, Duration: time.Second}
)

// run is one such run.
func (s simulated) run(source *rand.Rand) *record.Run {
	arms := []record.Arm{{Name: "ref"}, {Name: "ref.aa", Again: true}}
	for i := range s.arms {
		arms = append(arms, record.Arm{Name: fmt.Sprintf("arm%d", i)})
	}
	run := &record.Run{Manifest: record.Manifest{
		Schema: record.Schema, Reference: "ref", Arms: arms, Loads: s.loads, Looks: stats.Looks, Rules: record.DefaultRules(), ServerCPUs: []int{0},
	}}
	for _, load := range s.loads {
		pairs, left := make(map[string]int), slices.Clone(arms)
		for round := 1; round <= s.budget && len(left) > 0; round++ {
			drift := 0.3 * source.NormFloat64()
			counts, look := make(map[string]bool), false
			for _, a := range left {
				r := s.round(source, load, a, drift)
				r.Round = round
				if counts[a.Name] = source.Float64() >= s.void; !counts[a.Name] {
					r.Void = []record.Reason{record.Steal}
				}
				run.Rounds = append(run.Rounds, r)
			}
			for _, a := range left { // Decided would say the same of any other round, but take longer
				if counts[a.Name] && counts["ref"] {
					pairs[a.Name]++
				}
				look = look || stats.IsLook(pairs[a.Name])
			}
			if look {
				left = s.look(run, load, left)
			}
		}
	}
	return run
}

// look is what bench does after a round: who is decided leaves, and the
// reference and its A/A arm with the last.
func (s simulated) look(run *record.Run, load record.Load, left []record.Arm) []record.Arm {
	now := Decided(run, load)
	left = slices.DeleteFunc(left, func(a record.Arm) bool { return slices.Contains(now, a.Name) })
	if len(left) == 2 {
		return nil
	}
	return left
}

// round has each figure disturbed for itself, and all arms by the same drift.
func (s simulated) round(source *rand.Rand, load record.Load, a record.Arm, drift float64) record.Round {
	value := func() int64 {
		x := drift + s.noise.of(source)
		if a.Name != "ref" && !a.Again && (s.only == "" || s.only == load.Name) {
			x += math.Log(s.factor)
		}
		return int64(1e6 * math.Exp(x))
	}
	cpu, calls := value(), value()
	latency := record.Latency{Count: 1, P50: value()}
	r := record.Round{Load: load.Name, Arm: a.Name, Wall: time.Second, Due: latency, Sent: latency}
	r.Traffic.Messages, r.Traffic.Deliveries, r.Traffic.Checked = 1000, 1, 1
	r.Usage.CPU, r.Usage.Syscalls = &cpu, &calls
	return r
}

// rates is what many runs came to, as shares.
type rates struct {
	differ  float64 // of the runs: some primary figure is called different
	found   float64 // of the comparisons: called different in the right direction
	tied    float64 // of the comparisons: called a tie
	anyTied float64 // of the runs: some primary figure is called a tie
	covered float64 // of the comparisons: the printed interval holds the truth
	rounds  float64 // of an arm, on average
}

// of simulates many runs under one load.
func (s simulated) of(runs int, seed uint64) (r rates) {
	source, compared := rand.New(rand.NewPCG(seed, 21)), 0
	for range runs {
		l := judgeLoad(s.run(source), s.loads[0])
		differ, tied := false, false
		for i := range l.Arms {
			a := &l.Arms[i]
			for _, key := range primary(l.Load) {
				v := a.Figures[key].Versus
				if a.Again || v == nil {
					continue
				}
				compared++
				m := find(key)
				switch v.Verdict {
				case string(stats.Tie):
					r.tied, tied = r.tied+1, true
				case m.words[1]:
					r.found, differ = r.found+1, true
				case m.words[0]:
					differ = true
				}
				if v.Low <= s.factor && s.factor <= v.High {
					r.covered++
				}
				r.rounds += float64(v.N)
			}
		}
		r.differ, r.anyTied = r.differ+zeroOrOne(differ), r.anyTied+zeroOrOne(tied)
	}
	n := float64(compared)
	r.found, r.tied, r.covered, r.rounds = r.found/n, r.tied/n, r.covered/n, r.rounds/n
	r.differ, r.anyTied = r.differ/float64(runs), r.anyTied/float64(runs)
	return r
}

func zeroOrOne(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// TestStopping is the rule by which a run ends, all of it: arms leave at looks,
// the last stays for its system calls and p50, a tie can be called at any look,
// void rounds are replaced, and the budget may end it in between. Of equal
// servers one family in twenty holds a difference, and of servers that are 5 %
// apart one in twenty a tie, at most; chance is allowed for.
func TestStopping(t *testing.T) {
	noises, families, runs := []noisy{normal(0.02), wild(0.02)}, []int{1, 11}, fewRuns(30)
	truths := []float64{1, 1.05}
	if *simRuns > 0 {
		noises, families, runs = []noisy{normal(0.01), normal(0.02), normal(0.05), wild(0.01), wild(0.02), wild(0.05)}, []int{1, 3, 11}, *simRuns
		truths = append(truths, 1.1)
		t.Log("| noise of a round | comparisons | truth | rounds at most | some difference | found | a tie | some tie | interval holds the truth | rounds |")
		t.Log("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	}
	for _, noise := range noises {
		for _, arms := range families {
			for _, truth := range truths {
				s := simulated{loads: []record.Load{simClosed}, arms: arms, factor: truth, noise: noise, void: 0.05, budget: 96}
				r := s.of(runs, 1)
				if *simRuns > 0 {
					t.Logf("| %s | %d | %.2f | %d | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %.1f |", noise.name, arms, truth, s.budget,
						100*r.differ, 100*r.found, 100*r.tied, 100*r.anyTied, 100*r.covered, r.rounds)
				}
				chance := 3 * math.Sqrt(0.05*0.95/float64(runs))
				if truth == 1 && r.differ > 0.05+chance {
					t.Errorf("%s, %d equal arms: a difference in %.1f %% of runs", noise.name, arms, 100*r.differ)
				}
				if truth > 1 && r.anyTied > 0.05+chance {
					t.Errorf("%s, %d arms at %.2f: a tie in %.1f %% of runs", noise.name, arms, truth, 100*r.anyTied)
				}
				if r.covered < 0.90-chance {
					t.Errorf("%s, %d arms at %.2f: intervals hold the truth in %.1f %%", noise.name, arms, truth, 100*r.covered)
				}
			}
		}
	}
}

// gatedTwice is a gate of one backend: a run of two builds, and a second one of what
// is worse in the first.
func gatedTwice(source *rand.Rand, s simulated) GateVerdict {
	g := Gate{Worse: stats.Margin}
	for _, again := range []bool{false, true} {
		g.Add(Summarize(s.run(source), nil), "b", "dir", again)
		if !g.Alarm("b") {
			break
		}
	}
	return g.Verdict()
}

// TestGateRates: how often a gate fails a commit that changes nothing, and lets
// one pass that costs 5 % more, everywhere or in CPU at saturation alone. Where a
// round scatters by 2 %, a commit that changes nothing passes.
func TestGateRates(t *testing.T) {
	noises, budgets, runs := []noisy{normal(0.02), wild(0.02)}, []int{40}, fewRuns(20)
	if *simRuns > 0 {
		noises, budgets, runs = []noisy{normal(0.01), normal(0.02), normal(0.05), wild(0.02), wild(0.05)}, []int{20, 40}, *simRuns
		t.Log("| noise of a round | rounds at most | truth | where | worse | not worse | undecided |")
		t.Log("|---|---:|---:|---|---:|---:|---:|")
	}
	for _, noise := range noises {
		for _, budget := range budgets {
			for _, c := range []struct {
				truth float64
				only  string
			}{{1, ""}, {1.05, ""}, {1.05, simClosed.Name}, {1.1, simClosed.Name}} {
				truth := c.truth
				s := simulated{loads: []record.Load{simOpen, simClosed}, arms: 1, factor: truth, only: c.only, noise: noise, void: 0.05, budget: budget}
				source, n := rand.New(rand.NewPCG(5, 22)), make(map[GateVerdict]float64)
				for range runs {
					n[gatedTwice(source, s)] += 100 / float64(runs)
				}
				if *simRuns > 0 {
					t.Logf("| %s | %d | %.2f | %s | %.1f %% | %.1f %% | %.1f %% |", noise.name, budget, truth, cmp.Or(c.only, "everywhere"), n[GateWorse], n[GateNotWorse], n[GateUndecided])
				}
				chance := 300 * math.Sqrt(0.05*0.95/float64(runs))
				if truth == 1 && n[GateWorse] > 1+chance/3 || truth > 1 && n[GateNotWorse] > 5+chance {
					t.Errorf("%s, %d rounds at most, at %.2f: %v", noise.name, budget, truth, n)
				}
				if truth == 1 && *simRuns == 0 && n[GateNotWorse] < 90 {
					t.Errorf("%s, %d rounds at most: an equal commit passes in %.0f %%", noise.name, budget, n[GateNotWorse])
				}
			}
		}
	}
}
