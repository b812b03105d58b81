package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chatbench/bench/record"
	"chatbench/core/units"
)

// Scenario is the one there is.
const Scenario = "broadcast"

// Plan is what to measure. Every round is every backend, the reference twice,
// under every load, each against a fresh server.
type Plan struct {
	Backends []string // as chatd -backend takes them
	Clients  int
	Senders  int
	Size     units.Size
	Rates    []units.Rate // an open loop each
	Poisson  bool
	Windows  []int // a closed loop each
	Rounds   int
	Warmup   time.Duration
	Duration time.Duration
	Seed     uint64
}

// Quick is about a minute for one backend, the A/A arm included: eight rounds
// are what a difference needs to be called one, for up to six backends.
func Quick(backends []string) Plan {
	return Plan{
		Backends: backends,
		Clients:  100, Senders: 10, Size: 64,
		Rates: []units.Rate{1000}, Windows: []int{128},
		Rounds: 8, Warmup: 400 * time.Millisecond, Duration: 1200 * time.Millisecond,
		Seed: 1,
	}
}

// Full is the plan for results one keeps.
func Full(backends []string) Plan {
	p := Quick(backends)
	p.Rounds, p.Warmup, p.Duration = 20, 2*time.Second, 5*time.Second
	return p
}

// ErrPlan is what errors about a plan that cannot be are made of.
var ErrPlan = errors.New("bench: impossible plan")

// check refuses what no load generator is needed to refuse.
func (p Plan) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrPlan, fmt.Sprintf(format, args...))
	}
	seen := make(map[string]bool)
	for _, b := range p.Backends {
		if seen[b] {
			return wrong("backend %q is named twice; the A/A arm is there without being asked for", b)
		}
		seen[b] = true
	}
	switch {
	case len(p.Backends) == 0:
		return wrong("no backend; give -backends epoll, or several: -backends epoll,goroutine")
	case len(p.Rates)+len(p.Windows) == 0:
		return wrong("no load; give a rate, a window or both")
	case p.Rounds < 1 || p.Rounds > 1000:
		return wrong("%d rounds; from 1 to 1000", p.Rounds)
	case p.Duration <= 0:
		return wrong("a duration of %v; give one above 0, like 1.2s", p.Duration)
	case p.Warmup < 0:
		return wrong("a warm-up of %v; give 0 or more", p.Warmup)
	case p.Clients < 1:
		return wrong("%d clients; give at least 1", p.Clients)
	case p.Senders < 1 || p.Senders > p.Clients:
		return wrong("%d senders among %d clients; senders are clients too", p.Senders, p.Clients)
	}
	for _, w := range p.Windows {
		if w < 1 {
			return wrong("a window of %d messages; give at least 1", w)
		}
	}
	for _, r := range p.Rates {
		if float64(r)*p.Duration.Seconds() < 1 {
			return wrong("at %v no message is due within %v", r, p.Duration)
		}
	}
	return nil
}

// reference is goroutine if it is there, else the first.
func (p Plan) reference() string {
	if slices.Contains(p.Backends, "goroutine") {
		return "goroutine"
	}
	return p.Backends[0]
}

// arms is the backends, and the reference once more.
func (p Plan) arms() []record.Arm {
	var arms []record.Arm
	for _, b := range p.Backends {
		arms = append(arms, record.Arm{Name: b, Backend: b})
	}
	ref := p.reference()
	return append(arms, record.Arm{Name: ref + record.AgainSuffix, Backend: ref, Again: true})
}

// loads is what each arm is put under.
func (p Plan) loads() []record.Load {
	base := record.Load{
		Clients: p.Clients, Senders: p.Senders, Size: int(p.Size),
		Warmup: p.Warmup, Duration: p.Duration,
	}
	var loads []record.Load
	for _, r := range p.Rates {
		l := base
		l.Rate, l.Arrivals = float64(r), "fixed"
		if p.Poisson {
			l.Arrivals = "poisson"
		}
		l.Name = l.Arrivals + strings.TrimSuffix(fmt.Sprintf("%g", l.Rate), ".0")
		loads = append(loads, l)
	}
	for _, w := range p.Windows {
		l := base
		l.Window, l.Name = w, fmt.Sprintf("window%d", w)
		loads = append(loads, l)
	}
	return loads
}

// order is the certificates, then all cells: round by round, in each the loads
// in random order, and under each load all arms in random order, one right
// after the other, for they will be compared as a pair.
func order(arms []record.Arm, loads []record.Load, rounds int, seed uint64) []record.Cell {
	var cells []record.Cell
	for _, l := range loads {
		if !l.Open() {
			cells = append(cells, record.Cell{Round: 0, Load: l.Name, Arm: record.NullArm})
		}
	}
	source := rand.New(rand.NewPCG(seed, 0x6f72646572)) // "order"
	for round := 1; round <= rounds; round++ {
		for _, l := range source.Perm(len(loads)) {
			for _, a := range source.Perm(len(arms)) {
				cells = append(cells, record.Cell{Round: round, Load: loads[l].Name, Arm: arms[a].Name})
			}
		}
	}
	return cells
}
