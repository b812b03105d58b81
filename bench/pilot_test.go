package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/core/units"
	"chatbench/loadgen"
)

// modelled is a server and a generator with costs by a formula: each message
// costs the server cost ns, less if many share a write, and the generator work ns.
func modelled(cost, work float64) func(rate float64) record.PilotRate {
	return func(rate float64) record.PilotRate {
		share := 1 + rate/20_000 // messages in a write
		return record.PilotRate{Rate: rate, Slices: pilotSlices, ServerBusy: min(1, cost*rate/share/1e9), GeneratorBusy: min(1, work*rate/1e9), CPU: cost / share}
	}
}

// TestPilotChoice: the largest rate of the series at which the server has enough
// to do and not too much, with few tries; a disturbed try decides nothing.
func TestPilotChoice(t *testing.T) {
	const ms = 1e6
	for _, c := range []struct {
		name  string
		cost  float64
		work  float64
		least float64
		bad   int // disturbed tries at first
		tries int
		want  float64
		why   string
	}{
		{"a hundred clients", 0.32 * ms, 0.1 * ms, 0, 0, 2, 1000, "the server uses 30 %"},
		{"a slower machine", 0.65 * ms, 0.1 * ms, 0, 0, 2, 500, "the server uses 32 %"},
		{"none in between", 0.19 * ms, 0.01 * ms, 0, 0, 3, 2000, "the server uses 35 %"},
		{"the next is too much", 0.38 * ms, 0.01 * ms, 0, 0, 3, 500, "the server uses 19 %"},
		{"a thousand clients", 4 * ms, 1 * ms, 0, 0, 2, 100, "the lowest rate"},
		{"just enough", 1.2 * ms, 0.1 * ms, 0, 0, 1, 200, "the server uses 24 %"},
		{"few clients", 0.001 * ms, 0.001 * ms, 0, 0, 2, 50_000, "the next rate would be too much, or there is none"},
		{"the generator is the limit", 0.1 * ms, 0.5 * ms, 0, 0, 2, 1000, "the generator is busy for 50 %"},
		{"the generator is the limit already", 0.1 * ms, 4 * ms, 0, 0, 2, 100, "the server uses 1 %"},
		{"disturbed at first", 0.32 * ms, 0.1 * ms, 0, 3, 5, 1000, "the server uses 30 %"},
		{"disturbed", 0.32 * ms, 0.1 * ms, 0, 99, pilotTries, 777, "too disturbed"},
		{"short slices", 4 * ms, 1 * ms, 150, 0, 1, 200, "the lowest rate"},
	} {
		server := modelled(c.cost, c.work)
		ch := choice{least: c.least}
		for !ch.done && len(ch.tried) < pilotTries {
			one := server(ch.next())
			one.Disturbed = len(ch.tried) < c.bad
			ch.add(one)
		}
		p := ch.outcome(777)
		if p.Rate != c.want || len(p.Tried) != c.tries || !strings.Contains(p.Why, c.why) {
			t.Errorf("%s: %v after %d tries, %q; want %v after %d, %q: %+v", c.name, p.Rate, len(p.Tried), p.Why, c.want, c.tries, c.why, p.Tried)
		}
	}
}

// TestPilotErrors: a rate at which the server fails is too high; if it fails at
// all rates the plan's rate stays.
func TestPilotErrors(t *testing.T) {
	for _, c := range []struct {
		fails func(rate float64) bool
		want  float64
		why   string
	}{
		{func(rate float64) bool { return rate > 300 }, 200, "the server uses 6 %"},
		{func(float64) bool { return true }, 777, "fails at every rate that was tried: backpressure"},
	} {
		server, ch := modelled(0.32e6, 0.1e6), choice{}
		for !ch.done && len(ch.tried) < pilotTries {
			one := server(ch.next())
			if c.fails(one.Rate) {
				one.Error = "backpressure"
			}
			ch.add(one)
		}
		if p := ch.outcome(777); p.Rate != c.want || !strings.Contains(p.Why, c.why) {
			t.Errorf("%v, %q, want %v, %q: %+v", p.Rate, p.Why, c.want, c.why, p.Tried)
		}
	}
}

// TestPilotServerFails: if a server refuses logins or dies, that is why there is no
// rate, and not the machine; if others kept it from its CPU, it is the machine.
func TestPilotServerFails(t *testing.T) {
	denied := fmt.Errorf("%w: u0000 was told \"full\"", loadgen.ErrDenied)
	died := fmt.Errorf("%w under load: exit status 7", server.ErrDied)
	missing := errors.New("3 deliveries did not come")
	for _, c := range []struct {
		name string
		one  record.PilotRate
		err  error
		why  string
	}{
		{"refuses logins", record.PilotRate{}, denied, "fails at every rate that was tried: " + denied.Error()},
		{"dies", record.PilotRate{Slices: 2}, died, "fails at every rate that was tried: " + died.Error()},
		{"dies on a machine at work", record.PilotRate{Slices: 2, Late: 2, Foreign: 0.9}, died, "fails at every rate that was tried: " + died.Error()},
		{"loses something", record.PilotRate{Slices: 2}, missing, "fails at every rate that was tried: 3 deliveries"},
		{"is late with something on a machine at work", record.PilotRate{Slices: 2, Foreign: 0.3}, missing, "too disturbed"},
		{"is late with something under a CPU limit", record.PilotRate{Slices: 2, Throttled: 0.3}, missing, "too disturbed"},
		{"dies under a CPU limit", record.PilotRate{Slices: 2, Throttled: 0.5}, died, "fails at every rate that was tried: " + died.Error()},
		{"starves", record.PilotRate{}, loadgen.ErrStarved, "too disturbed"},
	} {
		ch := choice{}
		for range pilotTries {
			if ch.done {
				break
			}
			one := c.one
			one.Rate, one.Error, one.Disturbed = ch.next(), c.err.Error(), disturbed(c.one, c.err, record.SliceRules())
			ch.add(one)
		}
		if p := ch.outcome(777); p.Rate != 777 || !strings.Contains(p.Why, c.why) {
			t.Errorf("a server that %s: %v, %q after %d tries, want %q", c.name, p.Rate, p.Why, len(p.Tried), c.why)
		}
	}
}

// TestPilotPlan: a pilot is for one rate of a broadcast, and is the default of a plan
// without rates.
func TestPilotPlan(t *testing.T) {
	for scenario, want := range map[string]bool{record.Broadcast: true, record.Relay: false, record.Idle: false} {
		for name, p := range map[string]Plan{"quick": Quick(scenario, []string{"a"}), "full": Full(scenario, []string{"a"})} {
			if p.Pilot != want || p.check() != nil {
				t.Errorf("%s %s: pilot %v, %v", name, scenario, p.Pilot, p.check())
			}
		}
	}
	for _, rates := range [][]units.Rate{nil, {100, 200}} {
		p := Quick(record.Broadcast, []string{"a"})
		if p.Rates = rates; !errors.Is(p.check(), ErrPlan) {
			t.Errorf("a pilot for %s passed", fmt.Sprint(rates))
		}
	}
	p := Quick(record.Relay, []string{"a"})
	if p.Pilot = true; !errors.Is(p.check(), ErrPlan) {
		t.Error("a pilot of a relay load passed")
	}
}
