package bench

import (
	"slices"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/loadgen"
	"chatbench/loadgen/agents"
)

// TestNullLeaves: the null server is measured as long as any arm is under
// its load, and never alone.
func TestNullLeaves(t *testing.T) {
	b := &bench{decided: make(map[string][]string)}
	b.run = &record.Run{Manifest: record.Manifest{Arms: []record.Arm{{Name: "a"}, {Name: "a.aa"}}}}
	null := record.Cell{Round: 6, Load: "window1", Arm: record.NullArm}
	for _, c := range []struct {
		decided map[string][]string
		want    bool
	}{
		{map[string][]string{}, false},
		{map[string][]string{"window1": {"a"}}, false},
		{map[string][]string{"window2": {"a", "a.aa"}}, false},
		{map[string][]string{"window1": {"a", "a.aa"}}, true},
	} {
		if b.decided = c.decided; b.isDecided(null) != c.want {
			t.Errorf("with %v decided the null server leaves: %v", c.decided, !c.want)
		}
	}
}

// TestMark: a rate is marked by the ceiling known in the end, also in
// rounds before it was known.
func TestMark(t *testing.T) {
	load := record.Load{Name: "window1", Window: 1}
	rate := func(round int, arm string, deliveries int64) record.Round {
		return record.Round{Round: round, Load: "window1", Arm: arm, Wall: time.Second, Traffic: record.Traffic{Deliveries: deliveries, GeneratorRan: 1}}
	}
	b := &bench{loads: map[string]record.Load{"window1": load}, run: &record.Run{
		Manifest: record.Manifest{Rules: record.DefaultRules(), Loads: []record.Load{load}},
		Rounds:   []record.Round{rate(1, "a", 80), rate(1, record.NullArm, 1000), rate(6, record.NullArm, 100), rate(6, "a", 60), rate(11, record.NullArm, 90)},
	}}
	b.mark()
	for i, want := range []bool{true, false, false, false, false} {
		if got := b.run.Rounds[i].Marked(record.GeneratorLimited); got != want {
			t.Errorf("round %d of the file is marked: %v", i, got)
		}
	}
}

// TestPlanWithThreads: with a generator of several threads there is no null server.
func TestPlanWithThreads(t *testing.T) {
	for cpus, want := range map[int]bool{1: true, 2: false} {
		p := Quick(record.Broadcast, []string{"epoll"})
		p.Rounds = 3
		b := &bench{cfg: Config{Plan: p}, loads: make(map[string]record.Load), run: new(record.Run)}
		b.run.Manifest.Arms, b.run.Manifest.GeneratorCPUs = []record.Arm{{Name: "epoll"}}, make([]int, cpus)
		b.planRounds()
		if null := slices.ContainsFunc(b.plan, func(c record.Cell) bool { return c.Arm == record.NullArm }); null != want || len(b.plan) < 6 || b.run.Manifest.GeneratorThreads != cpus {
			t.Errorf("%d CPUs of the generator: the null server takes part: %v, in %d cells", cpus, null, len(b.plan))
		}
	}
}

// TestNullFails: the null server may be slow or not get its CPU; its deliveries may
// not be wrong, and in the first round it must run.
func TestNullFails(t *testing.T) {
	load := record.Load{Name: "window1", Window: 1}
	b := &bench{run: &record.Run{Manifest: record.Manifest{Rules: record.DefaultRules()}}}
	for _, c := range []struct {
		round int
		lost  int64
		err   error
		want  bool
	}{
		{1, 0, nil, false}, {1, 3, nil, true}, {6, 3, nil, true},
		{1, 0, loadgen.ErrDisconnected, true}, {6, 0, loadgen.ErrDisconnected, false},
		{1, 0, loadgen.ErrStarved, false},
	} {
		r := record.Round{Round: c.round, Load: "window1", Arm: record.NullArm, Wall: time.Second, Traffic: record.Traffic{Deliveries: 1, GeneratorRan: 1, Lost: c.lost}}
		if err := b.judge(&r, load, c.err); (err != nil) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestAgentMisfit: if an agent refuses a load before a round counts, the run ends; after that
// it is the fault of an agent that joined later, and the round is void.
func TestAgentMisfit(t *testing.T) {
	load := record.Load{Name: "fixed1", Rate: 1}
	for _, wrong := range []error{loadgen.ErrConfig, loadgen.ErrFileLimit} {
		for name, c := range map[string]struct {
			agents *agents.Coordinator
			before []record.Round
			ends   bool
		}{
			"no agents":       {nil, []record.Round{{Round: 1}}, true},
			"first":           {new(agents.Coordinator), nil, true},
			"all void so far": {new(agents.Coordinator), []record.Round{{Void: []record.Reason{record.Lost}}}, true},
			"one counts":      {new(agents.Coordinator), []record.Round{{Round: 1}}, false},
		} {
			b := &bench{agents: c.agents, run: &record.Run{Manifest: record.Manifest{Rules: record.DefaultRules()}, Rounds: c.before}}
			r := record.Round{Round: 2, Load: "fixed1", Arm: "a"}
			if err := b.judge(&r, load, wrong); (err != nil) != c.ends || !c.ends && !slices.Equal(r.Void, []record.Reason{record.AgentLost}) {
				t.Errorf("%s: %v, void %v", name, err, r.Void)
			}
		}
	}
}
