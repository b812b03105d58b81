package bench

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"chatbench/bench/record"
)

func TestDefaultCPUCounts(t *testing.T) {
	for _, c := range []struct {
		free, all int
		want      []int
	}{
		{1, 2, []int{1, 2}}, {0, 1, []int{1}}, {3, 4, []int{1, 2, 3}}, {4, 5, []int{1, 2, 3, 4}}, {5, 6, []int{1, 2, 4, 5}}, {7, 8, []int{1, 2, 4, 7}}, {8, 9, []int{1, 2, 4, 8}}, {1, 1, []int{1}},
	} {
		if got := defaultCPUCounts(c.free, c.all); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d CPUs: %v, want %v", c.free, c.all, got, c.want)
		}
	}
}

// TestScaleArms: each backend has an arm for each number of CPUs, with as many loops if it
// has loops, and the generator's CPU only if no other is left.
func TestScaleArms(t *testing.T) {
	c := Config{Plan: Quick(record.Scale, []string{"reactors", "uring@loops=3", "goroutine@tls"})}
	c.GeneratorCPUs = []int{0}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if err := c.settleCPUCounts([]int{0, 1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	has := []Backend{{Name: "reactors", Loops: 2}, {Name: "uring", Loops: 1}, {Name: "goroutine"}}
	c.expandAll(has)
	if c.Rounds != scaleRounds || c.looks() {
		t.Errorf("%d rounds", c.Rounds)
	}
	arms, err := c.arms(func(string) ([]Backend, error) { return has, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(arms) != 13 {
		t.Fatalf("%d arms, want three backends on 1, 2, 3 and 4 CPUs and the A/A arm", len(arms))
	}
	for _, a := range arms {
		args := strings.Join(a.Args, " ")
		switch want, _, _ := strings.Cut(a.Scales, "@"); {
		case want != a.Backend || len(a.CPUs) == 0 || slices.Contains(a.CPUs, 0):
			t.Errorf("%+v", a)
		case a.Backend == "reactors" && !strings.HasSuffix(args, "-loops="+string(rune('0'+len(a.CPUs)))):
			t.Errorf("%s on %d CPUs is started with %q", a.Name, len(a.CPUs), args)
		case a.Backend == "uring" && args != "-loops=3", a.Backend == "goroutine" && (args != "" || !a.TLS):
			t.Errorf("%s is started with %q", a.Name, args)
		}
	}
	if l := c.loads(); len(l) != 1 || l[0].Scenario != record.Broadcast || !l[0].Closed() {
		t.Errorf("loads %+v", l)
	}
}

func TestScaleRefuses(t *testing.T) {
	for text, change := range map[string]func(*Config){
		"twice":             func(c *Config) { c.CPUCounts = []int{1, 1} },
		"from 1 to 2":       func(c *Config) { c.CPUCounts = []int{4} },
		"leave it out":      func(c *Config) { c.Backends = []string{"epoll@cpus=2"} },
		"leave -rate out":   func(c *Config) { c.Rates = Quick(record.Broadcast, nil).Rates },
		"budget":            func(c *Config) { c.Budget = 1 },
		"for the scenario ": func(c *Config) { c.Plan = Quick(record.Broadcast, []string{"epoll"}); c.CPUCounts = []int{1} },
	} {
		c := Config{Plan: Quick(record.Scale, []string{"epoll"})}
		change(&c)
		err := c.check()
		if err == nil {
			err = c.settleCPUCounts([]int{0, 1})
		}
		if err == nil {
			has := []Backend{{Name: "epoll"}}
			c.expandAll(has)
			_, err = c.arms(func(string) ([]Backend, error) { return has, nil })
		}
		if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q, got %v", text, err)
		}
	}
}
