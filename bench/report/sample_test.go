package report

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
	"chatbench/bench/rules"
)

// sample is an invented run: eight rounds of three arms under two
// loads, with noise from a seed. epoll has 0.8 of goroutine's CPU, and at
// saturation ten times its rate.
func sample(t *testing.T) *record.Run { return sampleOf(t, 1) }

// sampleOf is the sample with the noise of a seed.
func sampleOf(t *testing.T, seed uint64) *record.Run {
	t.Helper()
	run := &record.Run{
		Manifest: record.Manifest{
			Schema: record.Schema, Name: "sample", Commit: "0123456789ab", Seed: 7,
			Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Reference: "goroutine", Rounds: 8,
			Arms: []record.Arm{{Name: "epoll", Backend: "epoll"}, {Name: "goroutine", Backend: "goroutine"}, {Name: "goroutine.aa", Backend: "goroutine", Again: true}},
			Loads: []record.Load{
				{Name: "fixed1000", Scenario: record.Broadcast, PerMessage: 100, Clients: 100, Senders: 10, Rate: 1000, Arrivals: "fixed", Size: 64, Warmup: time.Second, Duration: time.Second},
				{Name: "window128", Scenario: record.Broadcast, PerMessage: 100, Clients: 100, Senders: 10, Window: 128, Size: 64, Warmup: time.Second, Duration: time.Second},
			},
			ServerCPUs: []int{0}, GeneratorCPUs: []int{1}, Rules: record.DefaultRules(),
			Measures: map[string]string{"cpu": "by guess"},
		},
		Env:        record.Env{Schema: record.Schema, CPU: "Some CPU", CPUs: 2, Kernel: "6.0 #1", Go: "go1.26", Congestion: "bbr"},
		Histograms: make(map[record.Key]*hdrhistogram.Histogram),
	}
	source := rand.New(rand.NewPCG(seed, 1))
	addRound(t, run, source, 0, "window128", record.NullArm, 30e6, 30)
	for round := 1; round <= 8; round++ {
		for _, a := range run.Manifest.Arms {
			cpu, rate := 7000.0, 2e6
			if a.Name == "epoll" {
				cpu, rate = 5600, 20e6
			}
			addRound(t, run, source, round, "fixed1000", a.Name, 100_000, cpu)
			addRound(t, run, source, round, "window128", a.Name, rate, 1e9/rate)
		}
	}
	return run
}

// addRound adds a round with so many deliveries a second at so many ns of CPU each.
func addRound(t *testing.T, run *record.Run, source *rand.Rand, round int, load, arm string, rate, cpu float64) {
	t.Helper()
	l, _ := run.Load(load)
	noise := func(v, spread float64) int64 { return int64(v * math.Exp(spread*source.NormFloat64())) }
	seq := len(run.Rounds) + 1
	r := record.Round{
		Schema: record.Schema, Seq: seq, Round: round, Load: load, Arm: arm, Backend: arm,
		StartedMs: 1_800_000_000_000 + int64(seq)*2000, Wall: time.Second,
		Traffic: record.Traffic{Deliveries: int64(rate), Checked: 2 * int64(rate), GeneratorBusy: 0.6, GeneratorRan: 1},
	}
	if l.Open() {
		r.Traffic.Due, r.Traffic.Messages, r.Traffic.Expected = 1000, 1000, 100_000
	} else {
		r.Traffic.Deliveries = noise(rate, 0.02)
		r.Traffic.Messages = r.Traffic.Deliveries / int64(l.Clients)
	}
	total := noise(cpu*float64(r.Traffic.Deliveries), 0.01)
	user := total / 10
	kernel := total - user
	syscalls, switches, rss := r.Traffic.Deliveries/50, noise(500, 0.3), noise(12<<20, 0.01)
	steal := 0.0
	r.Usage = record.Usage{CPU: &total, CPUUser: &user, CPUKernel: &kernel, Syscalls: &syscalls, ContextSwitches: &switches,
		RSS: &rss, RSSPeak: &rss, PSS: &rss, Steal: &steal, Foreign: &steal, Processes: 1, Threads: 5}
	r.Server = &record.Server{Writes: 1000, BytesOut: 75 * r.Traffic.Checked, GCCycles: 2}
	// keep records n values around a median that stand for all of them.
	keep := func(stream string, median, spread float64, n, all int64) record.Latency {
		h := hdrhistogram.New(1, 10*int64(time.Second), 2)
		for i := range n {
			if err := h.RecordValues(noise(median, spread), all*(i+1)/n-all*i/n); err != nil {
				t.Fatal(err)
			}
		}
		run.Histograms[record.Key{Load: load, Arm: arm, Stream: stream, StartedMs: r.StartedMs}] = h
		return record.Summarize(h)
	}
	waits := hdrhistogram.New(1, int64(time.Second), 2)
	for i := range int64(100) {
		waits.RecordValue(100 * (i + 1))
	}
	run.Histograms[record.Key{Load: load, Arm: arm, Stream: record.StreamQueue, StartedMs: r.StartedMs}] = waits
	r.Queue = record.Summarize(waits)
	all := r.Traffic.Messages * int64(l.Clients)
	if l.Open() {
		r.Sent = keep(record.StreamSent, 40*cpu, 0.5, 600, all)
		r.Due = keep(record.StreamDue, 60*cpu, 0.5, 600, all)
		r.Lag = keep(record.StreamLag, r.Due.Mean-r.Sent.Mean, 0.05, 100, r.Traffic.Due)
	} else { // Little's law: what a message takes on average is what is under way by the rate
		mean := float64(l.Senders*l.Window) / float64(r.Traffic.Messages) * 1e9
		r.Sent = keep(record.StreamSent, mean*math.Exp(-0.125), 0.5, 600, all)
	}
	r.Void, r.Marks = rules.Judge(r, l, run.Manifest.Rules, Ceiling(run, load))
	run.Rounds = append(run.Rounds, r)
}

// store writes a run as bench does, raw and derived files.
func store(t *testing.T, run *record.Run) string {
	t.Helper()
	raw, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	derived, err := Files(run, record.Sums(raw))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, files := range []map[string][]byte{raw, derived} {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
