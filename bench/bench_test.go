package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/core/units"
	"chatbench/loadgen"
)

func TestPlanRefuses(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"no backend":                   func(p *Plan) { p.Backends = nil },
		"named twice":                  func(p *Plan) { p.Backends = []string{"a", "a"} },
		"no load":                      func(p *Plan) { p.Rates, p.Windows = nil, nil },
		"0 rounds":                     func(p *Plan) { p.Rounds = 0 },
		"a duration of 0s":             func(p *Plan) { p.Duration = 0 },
		"a warm-up of -1s":             func(p *Plan) { p.Warmup = -time.Second },
		"0 clients":                    func(p *Plan) { p.Clients = 0 },
		"101 senders among 100":        func(p *Plan) { p.Senders = 101 },
		"a window of 0":                func(p *Plan) { p.Windows = []int{128, 0} },
		"no message is due within 1ms": func(p *Plan) { p.Rates, p.Duration = []units.Rate{999}, time.Millisecond },
	} {
		p := Quick([]string{"epoll"})
		change(&p)
		if err := p.check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, p := range []Plan{Quick([]string{"a"}), Full([]string{"a", "b"})} {
		if err := p.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestArms(t *testing.T) {
	for backends, want := range map[string]string{
		"epoll":                "epoll epoll.aa",
		"epoll,gnet":           "epoll gnet epoll.aa",
		"epoll,goroutine,gnet": "epoll goroutine gnet goroutine.aa",
	} {
		p := Quick(strings.Split(backends, ","))
		var names []string
		for _, a := range p.arms() {
			names = append(names, a.Name)
			if a.Again != strings.HasSuffix(a.Name, record.AgainSuffix) || a.Again && a.Backend != p.reference() {
				t.Errorf("%s: %+v", backends, a)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", backends, got, want)
		}
	}
}

func TestLoads(t *testing.T) {
	p := Quick([]string{"epoll"})
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

// TestOrder: every round has every cell once, arms under one load stand
// together, and the order is the seed's.
func TestOrder(t *testing.T) {
	p := Quick([]string{"epoll", "goroutine"})
	arms, loads := p.arms(), p.loads()
	cells := order(arms, loads, 6, 1)
	if cells[0] != (record.Cell{Round: 0, Load: "window128", Arm: record.NullArm}) {
		t.Errorf("first %+v", cells[0])
	}
	rest := cells[1:]
	if len(rest) != 6*2*3 {
		t.Fatalf("%d cells", len(rest))
	}
	patterns := make(map[string]bool)
	for i := 0; i < len(rest); i += 3 {
		group := rest[i : i+3]
		seen := make(map[string]bool)
		pattern := ""
		for _, c := range group {
			seen[c.Arm] = true
			pattern += c.Arm + " "
			if c.Load != group[0].Load || c.Round != i/6+1 {
				t.Errorf("cell %d: %+v beside %+v", i, c, group[0])
			}
		}
		if len(seen) != 3 {
			t.Errorf("group %d: %+v", i/3, group)
		}
		patterns[pattern] = true
	}
	if len(patterns) < 3 {
		t.Errorf("twelve groups in %d orders: %v", len(patterns), patterns)
	}
	if !slices.Equal(cells, order(arms, loads, 6, 1)) || slices.Equal(cells, order(arms, loads, 6, 2)) {
		t.Error("the seed does not decide the order")
	}
}

func TestShelf(t *testing.T) {
	dir := t.TempDir()
	final := filepath.Join(dir, "new", "run")
	s, err := openShelf(final)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(final); err == nil {
		t.Error("the directory has its name before it is full")
	}
	if err := s.keep(map[string][]byte{"a": []byte("1")}, map[string][]byte{"b": []byte("2")}); err != nil {
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
	if _, err := openShelf(final); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over an old run: %v", err)
	}
	if _, err := openShelf(filepath.Join(final, "a", "x")); err == nil || !strings.Contains(err.Error(), "cannot write results") {
		t.Errorf("below a file: %v", err)
	}
	thrown, err := openShelf(filepath.Join(dir, "thrown"))
	if err != nil {
		t.Fatal(err)
	}
	thrown.discard()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left: %v", entries)
	}
}

func TestFacts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want record.Reason
	}{
		{notStarted{fmt.Errorf("%w before it listened", server.ErrDied)}, record.NotStarted},
		{fmt.Errorf("%w: refused", loadgen.ErrDenied), record.NotStarted},
		{fmt.Errorf("%w under load", server.ErrDied), record.ServerDied},
		{loadgen.ErrBackpressure, record.TargetMissed},
		{loadgen.ErrDisconnected, record.Disconnected},
		{errors.New("epoll_wait"), record.LoadFailed},
	} {
		if got := fact(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}

// TestArguments: the flags that make a server fit for load, all of them.
func TestArguments(t *testing.T) {
	want := "-backend epoll -listen 127.0.0.1:0 -open -json -flood off -announce=false -login-throttle off -max-per-address 0"
	if got := chatdArguments("epoll"); !reflect.DeepEqual(got, strings.Fields(want)) {
		t.Errorf("chatd %v", got)
	}
}
