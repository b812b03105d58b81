package report

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"chatbench/bench/record"
)

// step is how finely the noise of a machine is simulated.
const step = 10 * time.Millisecond

// noisyMachine is a machine with other work: how much more everything costs than on
// a quiet one, step by step. The cost drifts within seconds, and from time to time a
// neighbour works for 0.4 s.
type noisyMachine struct {
	source *rand.Rand
	drift  float64
	burst  int // steps that are left of it
}

// slowdown advances time and returns how much more things cost in that time, on average.
func (w *noisyMachine) slowdown(long time.Duration) float64 {
	const spread, memory = 0.15, 2.0 // of the logarithm; seconds
	keep := math.Exp(-step.Seconds() / memory)
	sum, n := 0.0, int(long/step)
	for range n {
		w.drift = keep*w.drift + spread*math.Sqrt(1-keep*keep)*w.source.NormFloat64()
		if w.burst--; w.burst < 0 && w.source.Float64() < step.Seconds()/1.5 {
			w.burst = int(400 * time.Millisecond / step)
		}
		cost := w.drift
		if w.burst > 0 {
			cost += 0.25
		}
		sum += math.Exp(cost)
	}
	return sum / float64(n)
}

// noisyRun is a run of that many rounds on such a machine, in which epoll costs
// ratio times what goroutine costs, and fresh servers differ by 1 %.
func noisyRun(seed uint64, load record.Load, rounds int, ratio float64) *record.Run {
	w := &noisyMachine{source: rand.New(rand.NewPCG(seed, 11))}
	run := &record.Run{Manifest: record.Manifest{
		Schema: record.Schema, Reference: "goroutine", Rounds: rounds, Loads: []record.Load{load}, ServerCPUs: []int{0}, Rules: record.SliceRules(),
		Arms: []record.Arm{{Name: "epoll"}, {Name: "goroutine"}, {Name: "goroutine.aa", Again: true}},
	}}
	const deliveries = 1_000_000
	for round := 1; round <= rounds; round++ {
		records, cost := make([]record.Round, 3), make([]float64, 3)
		for i, a := range run.Manifest.Arms {
			records[i] = record.Round{Round: round, Load: load.Name, Arm: a.Name, Wall: time.Second}
			cost[i] = 20 * math.Exp(0.01*w.source.NormFloat64())
		}
		cost[0] *= ratio
		for block := 1; block <= max(load.Slices, 1); block++ {
			for _, i := range w.source.Perm(3) {
				w.slowdown(load.Warmup)
				cpu := int64(deliveries * cost[i] * w.slowdown(load.Duration))
				t, u := &records[i].Traffic, &records[i].Usage
				t.Deliveries, t.Checked, t.Between = t.Deliveries+deliveries, t.Checked+deliveries, t.Between+deliveries
				if u.CPU == nil {
					u.CPU = new(int64)
				}
				*u.CPU += cpu
				if load.Sliced() {
					records[i].Slices = append(records[i].Slices, record.Slice{Block: block, Deliveries: deliveries, Wall: load.Duration, CPU: cpu})
				}
			}
		}
		run.Rounds = append(run.Rounds, records...)
	}
	return run
}

// TestSlicesSeeThroughNoise: on a machine whose speed drifts and that has
// bursts, 5 % are missed if arms are measured in one piece one after the
// other, and found by the same arms in turns, in the same time. If there is
// no difference, turns find none.
func TestSlicesSeeThroughNoise(t *testing.T) {
	whole := record.Load{Name: "window1", Scenario: record.Broadcast, Window: 1, Clients: 1, Warmup: 400 * time.Millisecond, Duration: 1200 * time.Millisecond}
	slices := whole
	slices.Warmup, slices.Duration, slices.Slices = 30*time.Millisecond, 100*time.Millisecond, 12
	const runs, rounds = 40, 16
	for _, c := range []struct {
		name        string
		load        record.Load
		ratio       float64
		least, most int
	}{
		{"in one piece", whole, 1.05, 0, runs / 20},
		{"in turns", slices, 1.05, runs * 9 / 10, runs},
		{"in turns, no difference", slices, 1, 0, runs / 20},
	} {
		found, apart := 0, 0.0
		for seed := range uint64(runs) {
			l := Summarize(noisyRun(seed, c.load, rounds, c.ratio), nil).Loads[0]
			switch v := l.arm("epoll").Figures[keyCPU].Versus; v.Verdict {
			case "dearer":
				found++
			case "cheaper":
				t.Errorf("%s: cheaper at %s", c.name, ratioText(v))
			}
			apart += math.Log(l.arm("goroutine.aa").Figures[keyCPU].Versus.High) / runs
		}
		t.Logf("%s: called dearer in %d of %d runs of %d rounds; A/A intervals reach to %.3f on average", c.name, found, runs, rounds, math.Exp(apart))
		if found < c.least || found > c.most {
			t.Errorf("%s: %.0f %% more is found in %d of %d runs, want %d to %d", c.name, 100*(c.ratio-1), found, runs, c.least, c.most)
		}
	}
}
