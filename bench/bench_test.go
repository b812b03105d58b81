package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/bench/stats"
	"chatbench/core/units"
	"chatbench/loadgen"
)

func TestPlanRefuses(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"no backend":                   func(p *Plan) { p.Backends = nil },
		"arm a is listed twice":        func(p *Plan) { p.Backends = []string{"a", "a"} },
		"no load":                      func(p *Plan) { p.Rates, p.Windows = nil, nil },
		"-1 rounds":                    func(p *Plan) { p.Rounds = -1 },
		"no scenario":                  func(p *Plan) { p.Scenario = "storm" },
		"load send nothing; leave":     func(p *Plan) { p.Scenario = record.Idle },
		"fixed1000 is listed twice":    func(p *Plan) { p.Rates, p.Pilot = []units.Rate{1000, 500, 1000}, false },
		"window128 is listed twice":    func(p *Plan) { p.Windows = []int{128, 128} },
		"a size of 0B":                 func(p *Plan) { p.Size = 0 },
		"lists of 0 files":             func(p *Plan) { *p = Quick(record.Relay, p.Backends); p.Files = 0 },
		"both or neither":              func(p *Plan) { *p = Quick(record.Relay, p.Backends); p.Senders = 0 },
		"0 pairs":                      func(p *Plan) { p.Scenario = record.Relay },
		"a duration of 0s":             func(p *Plan) { p.Duration = 0 },
		"slices of 2s in 1s":           func(p *Plan) { p.Duration, p.Slice = time.Second, 2*time.Second },
		"a lead-in of -1s":             func(p *Plan) { p.LeadIn = -time.Second },
		"a warm-up of -1s":             func(p *Plan) { p.Warmup = -time.Second },
		"0 clients":                    func(p *Plan) { p.Clients = 0 },
		"101 senders among 100":        func(p *Plan) { p.Senders = 101 },
		"a window of 0":                func(p *Plan) { p.Windows = []int{128, 0} },
		"no message is due within 1ms": func(p *Plan) { p.Rates, p.Duration, p.Slice = []units.Rate{999}, time.Millisecond, time.Millisecond },
	} {
		p := Quick(record.Broadcast, []string{"epoll"})
		change(&p)
		if err := p.check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, p := range []Plan{Quick(record.Broadcast, []string{"a"}), Full(record.Broadcast, []string{"a", "b"})} {
		if err := p.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestArms(t *testing.T) {
	for backends, want := range map[string]string{
		"epoll@tls":            "epoll@tls epoll@tls.aa",
		"epoll@tls,epoll":      "epoll@tls epoll epoll@tls.aa",
		"epoll":                "epoll epoll.aa",
		"epoll,gnet":           "epoll gnet epoll.aa",
		"epoll,goroutine,gnet": "epoll goroutine gnet goroutine.aa",
	} {
		p := Quick(record.Broadcast, strings.Split(backends, ","))
		arms, err := p.arms(knownBackends(testBackends))
		if err != nil {
			t.Error(err)
		}
		var names []string
		for _, a := range arms {
			names = append(names, a.Name)
			if a.Again != strings.HasSuffix(a.Name, record.AgainSuffix) || a.Again && a.Name != p.reference()+record.AgainSuffix ||
				a.TLS != strings.Contains(a.Name, "@tls") || a.Args != nil {
				t.Errorf("%s: %+v", backends, a)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", backends, got, want)
		}
	}
}

// testBackends are some backends, as a chatd may have them.
var testBackends = []Backend{
	{Name: "epoll"}, {Name: "goroutine"},
	{Name: "gnet", Gaps: map[string]string{"churn": "its library forgets"}},
	{Name: "select", MaxClients: 960},
	{Name: "process", PerClient: "process", MaxClients: 8000},
	{Name: "Epoll2-x"}, {Name: "2poll"},
}

// TestArmsWithFlags: a backend may be given flags, and in an idle load has no more
// clients than its model supports.
func TestArmsWithFlags(t *testing.T) {
	p := Quick(record.Idle, []string{"epoll", "select", "process", "process@spawn-ahead=64@linger=1s", "gnet"})
	arms, err := p.arms(knownBackends(testBackends))
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Arm{
		{Name: "epoll", Backend: "epoll"},
		{Name: "select", Backend: "select", Clients: 960},
		{Name: "process", Backend: "process", Clients: 500},
		{Name: "process@spawn-ahead=64@linger=1s", Backend: "process", Args: []string{"-spawn-ahead=64", "-linger=1s"}, Clients: 500},
		{Name: "gnet", Backend: "gnet", Gaps: testBackends[2].Gaps},
		{Name: "epoll.aa", Backend: "epoll", Again: true},
	}
	if !reflect.DeepEqual(arms, want) {
		t.Errorf("%+v", arms)
	}
	if got := strings.Join(chatdArguments(arms[3]), " "); !strings.HasSuffix(got, " -spawn-ahead=64 -linger=1s") {
		t.Errorf("chatd %s", got)
	}
	for name, want := range map[string]error{"nosuch": ErrBackend, "epoll@": ErrPlan, "epoll@x": ErrPlan, "epoll@a=b,c": ErrPlan, "epoll@a=b/c": ErrPlan, "epoll@backend=poll": ErrPlan} {
		p.Backends = []string{name}
		if _, err := p.arms(knownBackends(testBackends)); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMinRounds: there are so many rounds that the least possible p survives the
// correction for that many comparisons.
func TestMinRounds(t *testing.T) {
	for backends, want := range map[int]int{1: 6, 2: 6, 6: 8, 12: 9} {
		if n := Quick(record.Idle, make([]string, backends)).MinRounds(); n != want {
			t.Errorf("%d backends: %d rounds, want %d", backends, n, want)
		}
	}
	for backends, want := range map[int]time.Duration{1: 2 * time.Minute, 2: 2 * time.Minute, 12: 10 * time.Minute, 30: 10 * time.Minute} {
		p := Quick(record.Broadcast, make([]string, backends))
		if p.expandAll(nil); p.Budget != want || p.Rounds != 0 {
			t.Errorf("%d backends: %d rounds, budget %v, want %v", backends, p.Rounds, p.Budget, want)
		}
	}
}

// TestMeasureAll is a run of three arms without servers: decided arms
// leave, void rounds are replaced, and each end has its reason.
func TestMeasureAll(t *testing.T) {
	arms := []record.Arm{{Name: "twice"}, {Name: "ref"}, {Name: "noisy"}, {Name: "ref.aa", Again: true}}
	loads := []record.Load{{Name: "fixed1", Scenario: record.Broadcast, Rate: 1}}
	for _, c := range []struct {
		name   string
		void   func(record.Cell) bool
		budget time.Duration
		rounds int
		want   record.End
		last   map[string]int
	}{
		{"as many as it takes", func(record.Cell) bool { return false }, time.Hour, 0, record.AllDecided, map[string]int{"twice": 12, "noisy": 48, "ref": 48, "ref.aa": 48}},
		{"void rounds are replaced", func(c record.Cell) bool { return c.Round <= 2 && c.Arm != "noisy" }, time.Hour, 0, record.AllDecided, map[string]int{"twice": 14, "noisy": 50}},
		{"mostly void", func(c record.Cell) bool { return c.Arm != "ref" }, time.Hour, 0, record.TooDisturbed, map[string]int{"twice": 4, "ref": 4}},
		{"no budget", func(record.Cell) bool { return false }, time.Nanosecond, 0, record.OutOfBudget, map[string]int{"twice": 1}},
		{"so many and no more", func(record.Cell) bool { return false }, 0, 9, record.AllRounds, map[string]int{"twice": 9, "noisy": 9}},
	} {
		p := Plan{Rounds: c.rounds, Budget: c.budget}
		m := record.Manifest{Reference: "ref", Arms: arms, Loads: loads, Budget: c.budget, Rounds: c.rounds, Rules: record.DefaultRules()}
		if p.looks() {
			m.Looks = stats.Looks
		}
		b := &bench{
			cfg: Config{Plan: p}, begun: time.Now(), run: &record.Run{Manifest: m},
			loads: map[string]record.Load{"fixed1": loads[0]}, decided: make(map[string][]string), plan: order(arms, loads, p.mostRounds(), 1),
		}
		source := rand.New(rand.NewPCG(1, 2))
		b.measures = func(_ context.Context, cells []record.Cell) ([]record.Round, error) {
			cost := int64(1e9 * (1 + 0.01*source.Float64()))
			switch cells[0].Arm {
			case "twice":
				cost *= 2
			case "noisy":
				cost = int64(1e9 * math.Exp(source.NormFloat64()))
			}
			r := record.Round{Round: cells[0].Round, Load: "fixed1", Arm: cells[0].Arm, Wall: time.Second}
			r.Traffic.Messages = 1000
			r.Usage.CPU, r.Traffic.Deliveries, r.Due = &cost, 1, record.Latency{Count: 1, P50: cost}
			if c.void(cells[0]) {
				r.Void = []record.Reason{record.Steal}
			}
			return []record.Round{r}, nil
		}
		if err := b.measureAll(context.Background()); err != nil {
			t.Fatal(err)
		}
		last := make(map[string]int)
		for i, r := range b.run.Rounds {
			last[r.Arm] = r.Round
			if cell := b.run.Manifest.Order[i]; cell.Arm != r.Arm || cell.Round != r.Round {
				t.Errorf("%s: round %d is %s, %d; the order says %+v", c.name, i, r.Arm, r.Round, cell)
			}
		}
		for arm, want := range c.last {
			if last[arm] != want {
				t.Errorf("%s: %s was last measured in round %d, want %d", c.name, arm, last[arm], want)
			}
		}
		if b.run.Manifest.Ended != c.want {
			t.Errorf("%s: ended for %q, want %q", c.name, b.run.Manifest.Ended, c.want)
		}
	}
}

// TestOffsetRate: one message more in a whole round, if there are many.
func TestOffsetRate(t *testing.T) {
	for _, c := range []struct {
		rate  units.Rate
		round time.Duration
		want  units.Rate
	}{{1000, 2 * time.Second, 1000.5}, {100, time.Second, 101}, {99, time.Second, 99}, {0, time.Second, 0}} {
		if got := offsetRate(c.rate, c.round); got != c.want {
			t.Errorf("%v over %v: %v, want %v", c.rate, c.round, got, c.want)
		}
	}
}

// TestGeneratorConfig: the generator gets the schedule that moves past the
// ticks, the arm's own number of clients, and the round's own seed.
func TestGeneratorConfig(t *testing.T) {
	b := &bench{cfg: Config{Plan: Plan{Seed: 7}}, run: new(record.Run)}
	load := record.Load{Scenario: record.Broadcast, Clients: 100, Rate: 1000, Warmup: time.Second, Duration: time.Second}
	c := b.loadConfig("127.0.0.1:9", &record.Round{Round: 3}, record.Arm{}, load)
	if c.Rate != 1000.5 || c.Clients != 100 || c.Seed != 10 || c.Server != "127.0.0.1:9" {
		t.Errorf("%+v", c)
	}
	if c := b.loadConfig("", new(record.Round), record.Arm{Clients: 5}, load); c.Clients != 5 || c.Threads != 1 {
		t.Errorf("an arm of 5 clients has %d, driven by %d threads", c.Clients, c.Threads)
	}
	b.run.Manifest.GeneratorCPUs = []int{4, 6, 7}
	if c := b.loadConfig("", new(record.Round), record.Arm{}, load); c.Threads != 3 || !slices.Equal(c.CPU, []int{4, 6, 7}) {
		t.Errorf("%d threads on CPUs %v, want one on each of 4, 6 and 7", c.Threads, c.CPU)
	}
	load.Scenario = record.Relay
	if c := b.loadConfig("", new(record.Round), record.Arm{}, load); c.Threads != 1 {
		t.Errorf("%d threads drive a relay load", c.Threads)
	}
}

// TestScenarioNames: the names are those of the generator.
func TestScenarioNames(t *testing.T) {
	if record.Broadcast != loadgen.Broadcast || record.Relay != loadgen.Relay || record.Idle != loadgen.Idle {
		t.Error("a scenario has two names")
	}
}

func TestOtherLoads(t *testing.T) {
	relay := Quick(record.Relay, []string{"epoll"}).loads()
	if len(relay) != 2 || relay[0].Name != "relay-fixed1000" || relay[1].Name != "relay-window16" || relay[0].Clients != 210 || relay[0].PerMessage != (15*8+2)/16.0 {
		t.Errorf("%+v", relay)
	}
	idle := Quick(record.Idle, []string{"epoll"}).loads()
	if len(idle) != 1 || idle[0].Name != "idle8000" || idle[0].Open() || idle[0].Closed() {
		t.Errorf("%+v", idle)
	}
}

func TestLoads(t *testing.T) {
	p := Quick(record.Broadcast, []string{"epoll"})
	p.Rates, p.Windows, p.Poisson = []units.Rate{1000, 0.5}, []int{1, 128}, true
	var names []string
	for _, l := range p.loads() {
		names = append(names, l.Name)
		if strings.ContainsAny(l.Name, " ,/") || l.Open() != (l.Window == 0) {
			t.Errorf("%+v", l)
		}
	}
	if got := strings.Join(names, " "); got != "poisson1000 poisson0.5 window1 window128" {
		t.Errorf("named %s", got)
	}
}

// TestOrder: every round has every cell once, arms under one load are
// together, and the seed determines the order.
func TestOrder(t *testing.T) {
	p := Quick(record.Broadcast, []string{"epoll", "goroutine"})
	arms, err := p.arms(knownBackends(testBackends))
	if err != nil {
		t.Fatal(err)
	}
	loads := p.loads()
	cells := order(arms, loads, 6, 1)
	if len(cells) != 6*2*3+2 {
		t.Fatalf("%d cells", len(cells))
	}
	patterns := make(map[string]bool)
	nulls := make(map[string][]int) // rounds, by load
	for i := 0; i < len(cells); {
		seen := make(map[string]bool)
		pattern, first := "", cells[i]
		for ; i < len(cells) && cells[i].Load == first.Load && cells[i].Round == first.Round; i++ {
			if c := cells[i]; c.Arm == record.NullArm {
				nulls[c.Load] = append(nulls[c.Load], c.Round)
			} else {
				seen[c.Arm] = true
				pattern += c.Arm + " "
			}
		}
		if len(seen) != 3 || len(strings.Fields(pattern)) != 3 {
			t.Errorf("under %s in round %d: %s", first.Load, first.Round, pattern)
		}
		patterns[pattern] = true
	}
	if want := map[string][]int{"window128": {1, 6}}; !reflect.DeepEqual(nulls, want) {
		t.Errorf("the null server takes part in %v, want %v", nulls, want)
	}
	if len(patterns) < 3 {
		t.Errorf("twelve groups in %d orders: %v", len(patterns), patterns)
	}
	if !slices.Equal(cells, order(arms, loads, 6, 1)) || slices.Equal(cells, order(arms, loads, 6, 2)) {
		t.Error("the seed does not decide the order")
	}
}

func TestStagingDirectory(t *testing.T) {
	dir := t.TempDir()
	final := filepath.Join(dir, "new", "run")
	s, err := newStagingDirectory(final)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(final); err == nil {
		t.Error("the directory has its name before it is full")
	}
	if err := s.commit(map[string][]byte{"a": []byte("1")}, map[string][]byte{"b": []byte("2")}); err != nil {
		t.Fatal(err)
	}
	s.discard()
	entries, err := os.ReadDir(filepath.Dir(final))
	if err != nil || len(entries) != 1 || entries[0].Name() != "run" {
		t.Errorf("left: %v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(final, "b")); err != nil || string(data) != "2" {
		t.Errorf("b holds %q, %v", data, err)
	}
	if _, err := newStagingDirectory(final); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over an old run: %v", err)
	}
	if _, err := newStagingDirectory(filepath.Join(final, "a", "x")); err == nil || !strings.Contains(err.Error(), "cannot write results") {
		t.Errorf("below a file: %v", err)
	}
	thrown, err := newStagingDirectory(filepath.Join(dir, "thrown"))
	if err != nil {
		t.Fatal(err)
	}
	thrown.discard()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}

func TestReasonOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want record.Reason
	}{
		{notStarted{fmt.Errorf("%w before it listened", server.ErrDied)}, record.NotStarted},
		{fmt.Errorf("%w: refused", loadgen.ErrDenied), record.NotStarted},
		{fmt.Errorf("%w under load", server.ErrDied), record.ServerDied},
		{loadgen.ErrBackpressure, record.TargetMissed},
		{loadgen.ErrDisconnected, record.Disconnected},
		{fmt.Errorf("%w: for 30s", loadgen.ErrStarved), record.Starved},
		{errors.New("epoll_wait"), record.LoadFailed},
	} {
		if got := reasonOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}

// TestArguments: all flags that prepare a server for load.
func TestArguments(t *testing.T) {
	want := "-backend epoll -listen 127.0.0.1:0 -open -json -flood off -announce=false -login-throttle off -max-per-address 0"
	if got := chatdArguments(record.Arm{Backend: "epoll"}); !reflect.DeepEqual(got, strings.Fields(want)) {
		t.Errorf("chatd %v", got)
	}
}

// TestSlicedLoads: a load is cut into as many slices as give the duration;
// with Whole, and idle, it is in one piece.
func TestSlicedLoads(t *testing.T) {
	for _, l := range Quick(record.Broadcast, []string{"a"}).loads() {
		if l.Slices != 20 || l.Duration != 20*time.Millisecond || l.Warmup != 10*time.Millisecond {
			t.Errorf("%+v", l)
		}
	}
	p := Quick(record.Relay, []string{"a"})
	p.Whole = true
	for _, l := range append(p.loads(), Quick(record.Idle, nil).loads()...) {
		if l.Sliced() || l.Duration < 400*time.Millisecond {
			t.Errorf("%+v", l)
		}
	}
	if p.rules().DrainMax != 0 || Quick(record.Relay, nil).rules().DrainMax == 0 {
		t.Error("the rules of slices are for slices")
	}
}
