package rules

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"chatbench/bench/record"
)

func TestJudge(t *testing.T) {
	open := record.Load{Rate: 1000, Arrivals: "fixed", Clients: 100}
	poisson := record.Load{Rate: 1000, Arrivals: "poisson", Clients: 100}
	closed := record.Load{Window: 128, Clients: 100}
	const ceiling = 20e6
	good := func(change func(*record.Round)) record.Round {
		r := record.Round{Arm: "epoll", Wall: time.Second, Traffic: record.Traffic{Due: 1000, Expected: 100_000, Messages: 1000, Deliveries: 100_000, GeneratorRan: 1}}
		if change != nil {
			change(&r)
		}
		return r
	}
	rate := func(due, sent int64) record.Round {
		return good(func(r *record.Round) {
			r.Traffic = record.Traffic{Due: due, Expected: 100 * due, Messages: sent, Deliveries: 100 * sent}
		})
	}
	steal, foreign := 0.2, 0.3
	type reasons = []record.Reason
	for _, c := range []struct {
		name        string
		load        record.Load
		round       record.Round
		void, marks reasons
	}{
		{"good", open, good(nil), nil, nil},
		{"lost", open, good(func(r *record.Round) { r.Traffic.Lost = 1 }), reasons{record.Lost}, nil},
		{"all at once", open, good(func(r *record.Round) {
			r.Traffic.Lost, r.Traffic.Duplicated, r.Traffic.Reordered, r.Traffic.Altered, r.Traffic.OtherOrder = 1, 1, 1, 1, 1
		}), reasons{record.Lost, record.Duplicated, record.Reordered, record.Altered, record.OtherOrder}, nil},
		{"stolen from", open, good(func(r *record.Round) { r.Usage.Steal = &steal }), reasons{record.Steal}, nil},
		{"a little late", open, good(func(r *record.Round) { r.Lag.P99 = int64(5 * time.Millisecond) }), nil, nil},
		{"late", open, good(func(r *record.Round) { r.Lag.P99 = int64(5*time.Millisecond) + 1 }), reasons{record.GeneratorLimited}, nil},
		{"busy to the bound", open, good(func(r *record.Round) { r.Traffic.GeneratorBusy = 0.8 }), nil, nil},
		{"busier, so its own queue is in the latencies", open, good(func(r *record.Round) { r.Traffic.GeneratorBusy = 0.81 }), reasons{record.GeneratorLimited}, nil},
		{"as busy as it likes in a closed loop", closed, good(func(r *record.Round) { r.Traffic.GeneratorBusy = 1 }), nil, nil},
		{"11 less due is the cut and 1 %", open, rate(989, 989), nil, nil},
		{"12 less is off the rate", open, rate(988, 988), reasons{record.GeneratorLimited}, nil},
		{"12 more is off the rate", open, rate(1012, 1012), reasons{record.GeneratorLimited}, nil},
		{"due but not sent", open, rate(1000, 980), reasons{record.GeneratorLimited}, nil},
		{"due but not read", open, good(func(r *record.Round) { r.Traffic.Messages, r.Traffic.Stalled = 980, 20 }), reasons{record.TargetMissed}, nil},
		{"delivered a little late", open, good(func(r *record.Round) { r.Traffic.Deliveries = 94_001 }), nil, nil},
		{"fallen behind", open, good(func(r *record.Round) { r.Traffic.Deliveries = 93_900 }), reasons{record.TargetMissed}, nil},
		{"disturbed", open, good(func(r *record.Round) { r.Usage.Foreign = &foreign }), reasons{record.Disturbed}, nil},
		{"fallen behind because it was disturbed", open, good(func(r *record.Round) { r.Traffic.Deliveries, r.Usage.Foreign = 93_900, &foreign }), reasons{record.Disturbed}, nil},
		{"chance is not off the rate", poisson, rate(920, 920), nil, nil},
		{"beyond chance is", poisson, rate(850, 850), reasons{record.GeneratorLimited}, nil},
		{"below the ceiling", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 14e6 }), nil, nil},
		{"near the ceiling", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 15e6 }), nil, reasons{record.GeneratorLimited}},
		{"kept from its CPU", closed, good(func(r *record.Round) { r.Traffic.GeneratorRan = 0.89 }), nil, reasons{record.GeneratorLimited}},
		{"kept from it all the time", closed, good(func(r *record.Round) { r.Traffic.GeneratorRan, r.Traffic.Deliveries = 0.1, 0 }), reasons{record.GeneratorLimited}, nil},
		{"nothing came back", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 0 }), reasons{record.TargetMissed}, nil},
		{"the ceiling itself", closed, good(func(r *record.Round) { r.Traffic.Deliveries = 20e6; r.Arm = record.NullArm }), nil, nil},
		{"let in late", record.Load{Scenario: record.Idle}, record.Round{Lag: record.Latency{P99: int64(5*time.Millisecond) + 1}}, reasons{record.GeneratorLimited}, nil},
		{"let in in time", record.Load{Scenario: record.Idle}, record.Round{Lag: record.Latency{P99: int64(5 * time.Millisecond)}}, nil, nil},
		{"broke off", open, record.Round{
			Void: reasons{record.ServerDied}, Error: "exit status 2", Traffic: record.Traffic{Lost: 5},
		}, reasons{record.Lost, record.ServerDied}, nil},
		{"a judgement is not a fact", open, good(func(r *record.Round) { r.Void = reasons{record.Steal, record.TargetMissed} }), nil, nil},
	} {
		void, marks := Judge(c.round, c.load, record.DefaultRules(), ceiling)
		if !reflect.DeepEqual(void, c.void) || !reflect.DeepEqual(marks, c.marks) {
			t.Errorf("%s: void %v, marks %v; want %v, %v", c.name, void, marks, c.void, c.marks)
		}
	}
	sliced(t)
	if _, marks := Judge(good(func(r *record.Round) { r.Traffic.Deliveries = 15e6 }), closed, record.DefaultRules(), 0); marks != nil {
		t.Error("marked against a ceiling that is not known")
	}
}

// TestLimited: a round is void if a CPU limit stopped server and generator for too long, and a server that
// fell behind is excused if it was stopped for less.
func TestLimited(t *testing.T) {
	open, closed := record.Load{Rate: 1000, Arrivals: "fixed", Clients: 100}, record.Load{Window: 128, Clients: 100}
	for _, c := range []struct {
		name       string
		load       record.Load
		deliveries int64
		stopped    float64
		void       []record.Reason
	}{
		{"stopped to the bound", open, 100_000, 0.05, nil},
		{"stopped for longer", open, 100_000, 0.06, []record.Reason{record.Disturbed}},
		{"fallen behind because it was stopped", open, 93_900, 0.02, []record.Reason{record.Disturbed}},
		{"fallen behind, and hardly stopped", open, 93_900, 0.01, []record.Reason{record.TargetMissed}},
		{"nothing came back because it was stopped", closed, 0, 0.02, []record.Reason{record.Disturbed}},
	} {
		r := record.Round{Arm: "epoll", Wall: time.Second, Usage: record.Usage{Throttled: &c.stopped},
			Traffic: record.Traffic{Due: 1000, Expected: 100_000, Messages: 1000, Deliveries: c.deliveries, GeneratorRan: 1}}
		if void, _ := Judge(r, c.load, record.DefaultRules(), 0); !reflect.DeepEqual(void, c.void) {
			t.Errorf("%s: void %v, want %v", c.name, void, c.void)
		}
	}
}

// TestThreadsAndAgents: the worst thread's lag counts, and a round is void whose arms were driven by different agents.
func TestThreadsAndAgents(t *testing.T) {
	load := record.Load{Rate: 1000, Arrivals: "fixed", Clients: 100}
	for name, c := range map[string]struct {
		change func(*record.Round)
		want   []record.Reason
	}{
		"a thread is late":     {func(r *record.Round) { r.Traffic.GeneratorLag = int64(5*time.Millisecond) + 1 }, []record.Reason{record.GeneratorLimited}},
		"a thread is not late": {func(r *record.Round) { r.Traffic.GeneratorLag = int64(5 * time.Millisecond) }, nil},
		"cut well":             {func(r *record.Round) { r.Usage.Cut = 1002 * time.Millisecond }, nil},
		"cut late":             {func(r *record.Round) { r.Usage.Cut = 1002*time.Millisecond + 1 }, []record.Reason{record.GeneratorLimited}},
		"cut early":            {func(r *record.Round) { r.Usage.Cut = 998*time.Millisecond - 1 }, []record.Reason{record.GeneratorLimited}},
		"other agents":         {func(r *record.Round) { r.AgentsChanged = true }, []record.Reason{record.AgentLost}},
		"and one is lost": {func(r *record.Round) {
			r.AgentsChanged, r.Error, r.Void = true, "gone", []record.Reason{record.AgentLost}
		}, []record.Reason{record.AgentLost}},
	} {
		r := record.Round{Arm: "epoll", Wall: time.Second, Traffic: record.Traffic{Due: 1000, Expected: 100_000, Messages: 1000, Deliveries: 100_000, GeneratorRan: 1}}
		c.change(&r)
		if void, _ := Judge(r, load, record.DefaultRules(), 0); !reflect.DeepEqual(void, c.want) {
			t.Errorf("%s: void %v, want %v", name, void, c.want)
		}
	}
}

// TestExcuses: a server is excused if it was kept from its CPU, but not
// for a lost message.
func TestExcuses(t *testing.T) {
	foreign, some, stopped, hardly := 0.8, 0.3, 0.26, 0.25
	type reasons = []record.Reason
	for _, c := range []struct {
		name  string
		round record.Round
		void  reasons
	}{
		{"broke off because it was disturbed", record.Round{Void: reasons{record.TargetMissed}, Usage: record.Usage{Foreign: &foreign}}, reasons{record.Disturbed}},
		{"or somewhat", record.Round{Void: reasons{record.TargetMissed}, Usage: record.Usage{Foreign: &some}}, reasons{record.Disturbed}},
		{"broke off, stopped by a CPU limit", record.Round{Void: reasons{record.TargetMissed}, Usage: record.Usage{Throttled: &stopped}}, reasons{record.Disturbed}},
		{"stopped for less than it could make up for", record.Round{Void: reasons{record.TargetMissed}, Usage: record.Usage{Throttled: &hardly}}, reasons{record.TargetMissed}},
		{"lost, though stopped", record.Round{Traffic: record.Traffic{Lost: 1}, Usage: record.Usage{Throttled: &foreign}}, reasons{record.Lost, record.Disturbed}},
		{"died, though stopped", record.Round{Void: reasons{record.ServerDied}, Usage: record.Usage{Throttled: &stopped}}, reasons{record.ServerDied}},
		{"broke off all by itself", record.Round{Void: reasons{record.TargetMissed}}, reasons{record.TargetMissed}},
		{"starved", record.Round{Void: reasons{record.Starved}, Usage: record.Usage{Foreign: &foreign}}, reasons{record.Starved, record.Disturbed}},
		{"lost, though disturbed", record.Round{Traffic: record.Traffic{Lost: 1}, Usage: record.Usage{Foreign: &foreign}}, reasons{record.Lost, record.Disturbed}},
		{"broke off and nobody says why", record.Round{}, reasons{record.LoadFailed}},
	} {
		c.round.Error = "it does not read"
		for pass := range 2 { // once when it is measured, once when all is
			c.round.Void, _ = Judge(c.round, record.Load{Rate: 1000, Arrivals: "fixed", Slices: 4}, record.SliceRules(), 0)
			if !reflect.DeepEqual(c.round.Void, c.void) {
				t.Errorf("%s: void %v in pass %d, want %v", c.name, c.round.Void, pass+1, c.void)
			}
		}
	}
}

// TestJudgeAgain: judging a round again changes nothing, and a round
// that broke off never counts.
func TestJudgeAgain(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	loads := []record.Load{
		{Rate: 1000, Arrivals: "fixed", Clients: 100}, {Rate: 1000, Arrivals: "fixed", Slices: 4}, {Window: 128}, {Window: 128, Slices: 4}, {Scenario: record.Idle},
	}
	share := func() *float64 { // of a CPU, or not known
		if n := source.IntN(6); n > 0 {
			v := float64(n-1) / 4
			return &v
		}
		return nil
	}
	few := func() int64 { return int64(max(0, source.IntN(8)-6)) }
	for range 100_000 {
		load := loads[source.IntN(len(loads))]
		rules := record.DefaultRules()
		if load.Sliced() {
			rules = record.SliceRules()
		}
		r := record.Round{Arm: "epoll", Wall: time.Second, Usage: record.Usage{Foreign: share(), Steal: share(), Throttled: share()}}
		r.Lag.P99 = source.Int64N(int64(10 * time.Millisecond))
		r.Traffic = record.Traffic{
			Due: 1000, Messages: 900 + source.Int64N(200), Expected: 100_000, Deliveries: source.Int64N(3) * 50_000,
			Stalled: few(), Lost: few(), Duplicated: few(), Reordered: few(), Altered: few(), OtherOrder: few(),
			GeneratorBusy: source.Float64(), GeneratorRan: source.Float64(),
		}
		for range source.IntN(load.Slices + 1) {
			r.Slices = append(r.Slices, record.Slice{Void: [][]record.Reason{nil, {record.GeneratorLimited}, {record.NotDrained}}[source.IntN(3)]})
		}
		for range source.IntN(3) {
			r.Void = append(r.Void, record.Reasons[source.IntN(len(record.Reasons))])
		}
		if source.IntN(2) == 0 {
			r.Error = "it broke off"
		}
		first := r
		first.Void, first.Marks = Judge(r, load, rules, 80_000)
		void, marks := Judge(first, load, rules, 80_000)
		if !reflect.DeepEqual(void, first.Void) || !reflect.DeepEqual(marks, first.Marks) {
			t.Fatalf("%+v: first %v, %v, then %v, %v", r, first.Void, first.Marks, void, marks)
		}
		if r.Error != "" && first.Counts() {
			t.Fatalf("it broke off and counts: %+v", r)
		}
	}
}

// sliced: a slice is void by what happened to it, and a round if too few are left.
func sliced(t *testing.T) {
	t.Helper()
	open := record.Load{Rate: 1000, Arrivals: "fixed", Slices: 4, Duration: 100 * time.Millisecond}
	closed := record.Load{Window: 128, Slices: 4, Duration: 100 * time.Millisecond}
	rules := record.SliceRules()
	type reasons = []record.Reason
	for _, c := range []struct {
		name  string
		load  record.Load
		slice record.Slice
		void  reasons
	}{
		{"good", open, record.Slice{Deliveries: 1, Drain: rules.DrainMax, LagP99: int64(5 * time.Millisecond)}, nil},
		{"late", open, record.Slice{Deliveries: 1, LagP99: int64(5*time.Millisecond) + 1}, reasons{record.GeneratorLimited}},
		{"busy to the bound", open, record.Slice{Deliveries: 1, Busy: 0.8}, nil},
		{"busier", open, record.Slice{Deliveries: 1, Busy: 0.81}, reasons{record.GeneratorLimited}},
		{"as busy as it likes in a closed loop", closed, record.Slice{Deliveries: 1, Busy: 1}, nil},
		{"late in a closed loop is nothing", closed, record.Slice{Deliveries: 1, LagP99: int64(time.Second)}, nil},
		{"not over in time", closed, record.Slice{Deliveries: 1, Drain: rules.DrainMax + 1}, reasons{record.NotDrained}},
		{"nothing at all", closed, record.Slice{}, reasons{record.GeneratorLimited}},
	} {
		if void := Slice(c.slice, c.load, rules); !reflect.DeepEqual(void, c.void) {
			t.Errorf("%s: void %v, want %v", c.name, void, c.void)
		}
	}
	older := rules // runs from before the rule are judged without it
	older.GeneratorMax = 0
	if void := Slice(record.Slice{Deliveries: 1, Busy: 1}, open, older); void != nil {
		t.Errorf("without the rule: void %v", void)
	}
	ok, late, slow := record.Slice{}, record.Slice{Void: reasons{record.GeneratorLimited}}, record.Slice{Void: reasons{record.NotDrained}}
	steal, foreign, some, stopped, hardly, most := 0.3, 0.8, 0.3, 0.26, 0.25, 0.51
	for _, c := range []struct {
		name   string
		load   record.Load
		slices []record.Slice
		usage  record.Usage
		void   reasons
	}{
		{"half of them count", open, []record.Slice{ok, late, ok, late}, record.Usage{Steal: &steal}, nil},
		{"fewer", open, []record.Slice{ok, late, late, late}, record.Usage{}, reasons{record.FewSlices}},
		{"broken off, though nobody says so", closed, []record.Slice{ok}, record.Usage{}, reasons{record.FewSlices}},
		{"a server that does not keep up", open, []record.Slice{ok, slow, slow, slow}, record.Usage{}, reasons{record.TargetMissed, record.FewSlices}},
		{"nor could it", open, []record.Slice{ok, slow, slow, slow}, record.Usage{Foreign: &foreign}, reasons{record.Disturbed, record.FewSlices}},
		{"kept from some of its CPU", open, []record.Slice{ok, slow, slow, slow}, record.Usage{Foreign: &some}, reasons{record.FewSlices}},
		{"stopped by a CPU limit", open, []record.Slice{ok, slow, slow, slow}, record.Usage{Throttled: &stopped}, reasons{record.Disturbed, record.FewSlices}},
		{"stopped for less than it could make up for", open, []record.Slice{ok, slow, slow, slow}, record.Usage{Throttled: &hardly}, reasons{record.TargetMissed, record.FewSlices}},
		{"stopped for a while, and good", open, []record.Slice{ok, ok, ok, slow}, record.Usage{Throttled: &steal}, nil},
		{"stopped most of the time", closed, []record.Slice{ok, ok, ok, ok}, record.Usage{Throttled: &most}, reasons{record.Disturbed}},
		{"a closed loop has no target", closed, []record.Slice{slow, slow, slow, slow}, record.Usage{}, reasons{record.FewSlices}},
	} {
		r := record.Round{Arm: "epoll", Slices: c.slices, Usage: c.usage, Traffic: record.Traffic{GeneratorRan: 1}}
		if void, _ := Judge(r, c.load, rules, 0); !reflect.DeepEqual(void, c.void) {
			t.Errorf("%s: void %v, want %v", c.name, void, c.void)
		}
	}
}
