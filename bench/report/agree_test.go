package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
)

// TestAgrees: the sample agrees with itself, and so does a run of one arm.
func TestAgrees(t *testing.T) {
	for name, run := range map[string]*record.Run{"sample": sample(t), "alone": singleArmRun(t)} {
		for _, l := range Summarize(run, nil).Loads {
			if len(l.agrees) < 5 {
				t.Errorf("%s, %s: only %d laws say anything", name, l.Name, len(l.agrees))
			}
			for _, a := range l.agrees {
				if !a.OK {
					t.Errorf("%s, %s: %s: %s", name, l.Name, a.Name, a.Detail)
				}
			}
		}
	}
}

// TestDisagrees breaks each law in all rounds of one arm, and no other law.
func TestDisagrees(t *testing.T) {
	scale := func(v *int64, by float64) { *v = int64(float64(*v) * by) }
	breaks := []struct {
		law, load string
		by        func(r *record.Round)
	}{
		{"Little's law", "window128", func(r *record.Round) { r.Sent.Mean *= 1.5 }},
		{"Little's law", "window128", func(r *record.Round) { r.Sent.Mean *= 0.5 }},
		{"every message reached every client", "fixed1000", func(r *record.Round) { scale(&r.Due.Count, 0.98) }},
		{"every message reached every client", "window128", func(r *record.Round) { scale(&r.Sent.Count, 1.02) }},
		{"server and generator counted the same octets", "fixed1000", func(r *record.Round) { scale(&r.Server.BytesOut, 1.02) }},
		{"latency adds up", "fixed1000", func(r *record.Round) { r.Lag.Mean *= 1.2 }},
		{"CPU within its allotment", "fixed1000", func(r *record.Round) {
			for _, v := range []*int64{r.Usage.CPU, r.Usage.CPUUser, r.Usage.CPUKernel} {
				scale(v, 2)
			}
		}},
		{"user and kernel are all of the CPU", "fixed1000", func(r *record.Round) { scale(r.Usage.CPUKernel, 0.97) }},
		{"memory that is shared is counted once", "window128", func(r *record.Round) {
			pss := *r.Usage.RSS * 11 / 10
			r.Usage.PSS = &pss
		}},
	}
	for _, b := range breaks {
		run := sample(t)
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Arm == "epoll" && r.Load == b.load {
				b.by(r)
			}
		}
		found := broken(run, b.load)
		if !slices.Contains(found, b.law) {
			t.Errorf("%s is broken under %s, found %v", b.law, b.load, found)
		}
		for _, law := range found {
			if law != b.law {
				t.Errorf("%s is broken, and %s with it", b.law, law)
			}
		}
	}
}

// TestFasterThanNull: a server that requires less of the generator than the null server
// may be faster. That is reported, and no check fails for it.
func TestFasterThanNull(t *testing.T) {
	run := sample(t)
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == record.NullArm {
			r.Traffic.Deliveries = 17_500_000 // epoll has 20 million
		}
	}
	s := Summarize(run, nil)
	for _, c := range s.Checks.Checks {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	if said := text(s, Style{}); !strings.Contains(said, "115 % of the rate with the null server") {
		t.Error(said)
	}
}

// broken names the laws that a load of a run breaks.
func broken(run *record.Run, load string) (names []string) {
	for _, l := range Summarize(run, nil).Loads {
		for _, a := range l.agrees {
			if l.Name == load && !a.OK {
				names = append(names, a.Name)
			}
		}
	}
	return names
}

// TestPriced: the medians of cost, rate and use may be of different rounds, but
// not of different runs.
func TestPriced(t *testing.T) {
	run := sample(t)
	s := Summarize(run, nil)
	l := &s.Loads[0]
	for _, by := range []float64{1, 1.3} {
		f := l.arm("epoll").Figures[keyBusy]
		f.Median *= by
		l.arm("epoll").Figures[keyBusy] = f
		if a := l.costsAddUp(run)[0]; a.OK != (by == 1) {
			t.Errorf("use × %g: %+v", by, a)
		}
	}
}

// TestSlicesFill: slices that count make up the timed section.
func TestSlicesFill(t *testing.T) {
	for _, wall := range []time.Duration{40 * time.Millisecond, 60 * time.Millisecond} {
		run := sample(t)
		l := &run.Manifest.Loads[0]
		l.Slices, l.Duration = 3, 20*time.Millisecond
		for i := range run.Rounds {
			r := &run.Rounds[i]
			r.Wall = wall
			r.Slices = []record.Slice{{Block: 1, Wall: 20e6}, {Block: 2, Wall: 20e6}, {Block: 3, Void: []record.Reason{record.NotDrained}}}
		}
		want := wall == 60*time.Millisecond
		if got := slices.Contains(broken(run, l.Name), "slices fill the time"); got != want {
			t.Errorf("two slices of 20 ms in %v: broken is %v", wall, got)
		}
	}
}

// TestLogins: every client that logged in was timed.
func TestLogins(t *testing.T) {
	for _, count := range []int64{10, 9} {
		run := sample(t)
		run.Manifest.Loads = []record.Load{{Name: "idle10", Scenario: record.Idle, Clients: 10}}
		for i := range run.Rounds {
			r := &run.Rounds[i]
			r.Load, r.Traffic, r.Login.Count = "idle10", record.Traffic{Clients: 10}, count
		}
		if got := slices.Contains(broken(run, "idle10"), "every client got in"); got != (count == 9) {
			t.Errorf("%d logins of 10 clients timed: broken is %v", count, got)
		}
	}
}
