package coalesce

import (
	"fmt"
	"testing"
	"time"

	"chatbench/backends"
)

// TestOpenLoop checks auto against its documentation, for messages that come whether others are written
// or not.
func TestOpenLoop(t *testing.T) {
	const n = 6000
	kinds := []struct {
		name   string
		arrive func(float64, int) queue
	}{{"poisson", poisson}, {"steady", steady}}
	for _, kind := range kinds {
		for _, clients := range []int{10, 100, 1000} {
			for _, rate := range []float64{10, 30, 80, 100, 300, 600, 1000, 1250, 1600, 2000, 3000, 10_000, 12_500, 30_000, 100_000} {
				t.Run(fmt.Sprint(kind.name, "/", clients, "/", rate), func(t *testing.T) {
					off := (&world{clients: clients, arrive: kind.arrive(rate, n)}).run(backends.CoalesceOff)
					auto := (&world{clients: clients, arrive: kind.arrive(rate, n)}).run(backends.CoalesceAuto)
					t.Logf("off: %s", off)
					t.Logf("auto: %s", auto)
					alone := reading + waking + time.Duration(clients)*(packet+share)
					checkAuto(t, rate*alone.Seconds(), kind.name == "poisson" && rate >= 1000, off, auto)
				})
			}
		}
	}
}

// checkAuto compares auto with off. load is the share of a core that writing each
// message by itself takes; paying says that another message comes within a millisecond.
func checkAuto(t *testing.T, load float64, paying bool, off, auto result) {
	if auto.messages != off.messages {
		t.Fatalf("%d messages were written, %d are missing", auto.messages, off.messages-auto.messages)
	}
	if most := autoMost + slack + 100*us; load < 1 && auto.waited > most {
		t.Errorf("a message waited %v, and may %v", auto.waited, most)
	}
	if a, o := auto.percentile(99), off.percentile(99); a > o+autoMost+slack {
		t.Errorf("p99 is %v, and %v without: more than %v added", a, o, autoMost)
	}
	if float64(auto.cpu()) > 1.02*float64(off.cpu()) {
		t.Errorf("a message costs %v, and %v without", auto.cpu(), off.cpu())
	}
	a, o := auto.percentile(50), off.percentile(50)
	if load < 0.2 && a > o+20*us {
		t.Errorf("at %.0f %% of a core p50 is %v, and %v without", 100*load, a, o)
	}
	if paying && load > 0.55 && load < 0.7 && float64(auto.cpu()) > 0.75*float64(off.cpu()) {
		t.Errorf("at %.0f %% of a core a message costs %v, and %v without: a quarter should be saved", 100*load, auto.cpu(), off.cpu())
	}
	saturated := off.load() > 0.97
	if saturated && float64(a) > 1.02*float64(o) {
		t.Errorf("at saturation p50 is %v, and %v without", a, o)
	}
	if saturated && float64(auto.took) > 1.01*float64(off.took) {
		t.Errorf("at saturation all took %v, and %v without", auto.took, off.took)
	}
}

func (r result) String() string {
	return fmt.Sprintf("%.2f messages a write, %.0f %% of a core, %v of CPU a message, p50 %v, p99 %v, waited %v at most",
		r.perWrite(), 100*r.load(), r.cpu(), r.percentile(50), r.percentile(99), r.waited)
}

// TestClosedLoop: where senders wait for their own messages, a wait costs throughput. It must not cost
// any at saturation, and only little where no other message ever comes.
func TestClosedLoop(t *testing.T) {
	for _, c := range []struct {
		clients, senders, window int
		answer                   time.Duration
		least                    float64 // of the throughput without
	}{
		{100, 10, 128, 20 * us, 0.99}, {1000, 10, 128, 20 * us, 0.99}, {10, 10, 128, 20 * us, 0.99}, {2, 2, 128, 20 * us, 0.97},
		{100, 10, 1, 20 * us, 0.97}, {100, 1, 1, 20 * us, 0.97}, {10, 1, 1, 20 * us, 0.9}, {2, 1, 1, 20 * us, 0.9},
		{100, 10, 128, 3000 * us, 0.99}, {100, 10, 128, 6000 * us, 0.99}, {100, 10, 128, 10_000 * us, 0.99},
	} {
		t.Run(fmt.Sprint(c.clients, "/", c.senders, "/", c.window, "/", c.answer), func(t *testing.T) {
			run := func(setting backends.Coalesce) result {
				w := &world{clients: c.clients, senders: c.senders, answer: c.answer, most: 40_000, arrive: windows(c.senders, c.window)}
				return w.run(setting)
			}
			off, auto := run(backends.CoalesceOff), run(backends.CoalesceAuto)
			t.Logf("off: %s", off)
			t.Logf("auto: %s", auto)
			throughput := func(r result) float64 { return float64(r.messages) / r.took.Seconds() }
			if got, want := throughput(auto), throughput(off); got < c.least*want {
				t.Errorf("%.0f messages a second, and %.0f without", got, want)
			}
		})
	}
}

// TestSaturationAfterWaits: after useful waits, output does not wait when the same clients then send as
// much as they can.
func TestSaturationAfterWaits(t *testing.T) {
	run := func(setting backends.Coalesce) result {
		w := &world{clients: 100, senders: 10, answer: 20 * us, most: 40_000, arrive: poisson(1250, 2000)}
		start := w.arrive[len(w.arrive)-1].at
		for _, m := range windows(10, 128) {
			m.at += start
			w.arrive = append(w.arrive, m)
		}
		return w.run(setting)
	}
	off, auto := run(backends.CoalesceOff), run(backends.CoalesceAuto)
	t.Logf("off: %s", off)
	t.Logf("auto: %s", auto)
	if auto.messages != off.messages || auto.took > off.took+off.took/100+2*autoMost {
		t.Errorf("%d messages took %v, and %d %v without", auto.messages, auto.took, off.messages, off.took)
	}
}
