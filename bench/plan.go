package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/report"
	"chatbench/bench/stats"
	"chatbench/core/units"
	"chatbench/loadgen"
)

// Plan is what to measure. Every round has every backend, the reference twice,
// under every load, each against a fresh server.
type Plan struct {
	Scenario string
	// Backends are names as chatd -backend takes them, maybe with flags of chatd:
	// process@spawn-ahead=64.
	Backends []string
	// Arms have names and maybe a chatd of their own: old=/tmp/chatd:epoll@backlog=64.
	Arms []string
	// Plus is the path of another chatd: each of the Backends gets one more arm with
	// that chatd, whose name ends in PlusSuffix. "": none.
	Plus string
	// Reference is the arm that the others are compared with. "": goroutine if it
	// is among them, otherwise the first; with Plus always the first.
	Reference string
	Clients   int // relay: leave it at 0
	// Heavy is the number of clients, at most, of a backend that has a thread or a process for
	// each of them, under an idle load; 0: as many as the others.
	Heavy   int
	Senders int // clients that talk to everybody; relay: in addition to those that ask
	Size    units.Size

	// Relay only.
	Pairs     int
	Files     int
	Downloads int
	ChatRate  units.Rate

	Ramp  time.Duration // idle: clients connect at equal distances over this time
	Rates []units.Rate  // an open loop each
	// Pilot: the only rate is chosen before the first round, by how much of its CPU the reference
	// server uses; Rates has the rate to take if that decides nothing.
	// Broadcast only: the requests of a relay load differ too much in what they cost.
	Pilot   bool
	Poisson bool
	Windows []int // a closed loop each
	// CPUCounts are the numbers of CPUs of a scaling run; empty: chosen automatically.
	CPUCounts []int
	order     []int // CPUs in the order in which a server is given them
	// Rounds is how many rounds there are; 0: as many as needed to decide, within the
	// Budget (0: by the number of backends).
	Rounds int
	Budget time.Duration
	// Whole: each arm is measured in one piece, one after the other; Warmup is
	// the load before it. Otherwise, unless idle, the arms of a round take turns:
	// slices of the length Slice, each after a lead-in, until Duration is reached.
	Whole    bool
	Warmup   time.Duration
	Slice    time.Duration
	LeadIn   time.Duration
	Duration time.Duration // measured time of each arm in each round
	Seed     uint64
}

// sliced says whether the arms take turns.
func (p Plan) sliced() bool { return !p.Whole && p.Scenario != record.Idle }

// looks says whether a run takes as many rounds as it needs.
func (p Plan) looks() bool { return p.Rounds == 0 }

// rules returns the rules for the way in which arms are measured.
func (p Plan) rules() record.Rules {
	if p.sliced() {
		return record.SliceRules()
	}
	return record.DefaultRules()
}

// Scenarios are the scenarios of a plan.
var Scenarios = []string{record.Broadcast, record.Relay, record.Idle, record.Scale}

// Piece is the Duration of a quick plan whose arms are measured in one piece.
// Slices have less: more rounds fit into the budget, which allows more
// verdicts, and twelve backends must reach a look within ten minutes.
const Piece = 1200 * time.Millisecond

// Quick is the plan of less than a minute for one backend, the A/A arm included; for more
// backends see Plan.Budget.
func Quick(scenario string, backends []string) Plan {
	p := Plan{
		Scenario: scenario, Backends: backends, Seed: 1, Duration: 400 * time.Millisecond,
		Warmup: 400 * time.Millisecond, Slice: 20 * time.Millisecond, LeadIn: 10 * time.Millisecond,
	}
	switch scenario {
	case record.Relay:
		p.Pairs, p.Files, p.Downloads, p.Size = 100, 5, 16, 32
		p.ChatRate, p.Senders = 50, 10
		p.Rates, p.Windows = []units.Rate{1000}, []int{16}
	case record.Idle:
		p.Clients, p.Heavy, p.Size, p.Ramp = 8000, 500, 64, 4*time.Second
		p.Warmup, p.Duration = 0, 600*time.Millisecond
	case record.Scale:
		p.Clients, p.Senders, p.Size = 100, 10, 64
		p.Windows = []int{128}
	default:
		p.Clients, p.Senders, p.Size = 100, 10, 64
		p.Rates, p.Windows, p.Pilot = []units.Rate{1000}, []int{128}, true
	}
	return p
}

// Full is the plan for results that are kept.
func Full(scenario string, backends []string) Plan {
	p := Quick(scenario, backends)
	if p.Duration = 5 * time.Second; scenario != record.Idle {
		p.Warmup = 2 * time.Second
	}
	return p
}

// MinRounds is how many rounds of an idle load are needed to call a difference one: the
// exact test on n pairs gives at best p = 2/2^n, and Holm's correction multiplies
// that by the number of comparisons: the number of backends without the
// reference, times the number of primary figures.
func (p Plan) MinRounds() int {
	comparisons := 0
	for _, l := range p.loads() {
		comparisons = max(comparisons, report.PrimaryFigures(l)*(len(p.Names())-1))
	}
	return stats.Pairs(comparisons)
}

// ErrPlan is wrapped by errors about an impossible plan.
var ErrPlan = errors.New("bench: impossible plan")

// check refuses what can be refused without the load generator.
func (p Plan) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrPlan, fmt.Sprintf(format, args...))
	}
	if err := p.checkArms(); err != nil {
		return err
	}
	switch {
	case len(p.Names()) == 0:
		return wrong("no backend; give -backends epoll, or several: -backends epoll,goroutine")
	case !slices.Contains(Scenarios, p.Scenario):
		return wrong("there is no scenario %q; there are %s", p.Scenario, strings.Join(Scenarios, ", "))
	case p.Scenario == record.Idle && len(p.Rates)+len(p.Windows) > 0:
		return wrong("clients of an idle load send nothing; leave -rate and -window out")
	case p.Scenario != record.Idle && len(p.Rates)+len(p.Windows) == 0:
		return wrong("no load; give a rate, a window or both")
	case p.Rounds < 0 || p.Rounds > 1000:
		return wrong("%d rounds; give 1 to 1000, or 0 for as many as needed", p.Rounds)
	case p.Budget < 0 || p.Budget > 0 && (p.Rounds > 0 || p.Scenario == record.Idle || p.Scenario == record.Scale):
		return wrong("a budget of %v; it is for a run of broadcast or relay without a number of rounds, like 5m", p.Budget)
	case p.Scenario == record.Scale && len(p.Rates) > 0:
		return wrong("a scaling run is saturated; leave -rate out")
	case len(p.CPUCounts) > 0 && p.Scenario != record.Scale:
		return wrong("numbers of CPUs are for the scenario %s; elsewhere write BACKEND@%s=N", record.Scale, cpusFlag)
	case p.Duration <= 0:
		return wrong("a duration of %v; give one above 0, like 800ms", p.Duration)
	case p.Warmup < 0:
		return wrong("a warm-up of %v; give 0 or more", p.Warmup)
	case p.sliced() && (p.Slice <= 0 || p.Slice > p.Duration):
		return wrong("slices of %v in %v; give a slice above 0 that fits, like 20ms, or -whole", p.Slice, p.Duration)
	case p.LeadIn < 0:
		return wrong("a lead-in of %v; give 0 or more", p.LeadIn)
	case p.Size < 1:
		return wrong("a size of %v; give at least 16B", p.Size)
	case p.Scenario == record.Relay && (p.Pairs < 1 || p.Files < 1):
		return wrong("%d pairs and lists of %d files; give at least 1 of each", p.Pairs, p.Files)
	case p.Scenario == record.Relay && (p.ChatRate > 0) != (p.Senders > 0):
		return wrong("%d clients talk at a chat rate of %v; give both or neither", p.Senders, p.ChatRate)
	case p.Scenario != record.Relay && p.Clients < 1:
		return wrong("%d clients; give at least 1", p.Clients)
	case (p.Scenario == record.Broadcast || p.Scenario == record.Scale) && (p.Senders < 1 || p.Senders > p.Clients):
		return wrong("%d senders among %d clients; senders are clients too, so give 1 to %d", p.Senders, p.Clients, p.Clients)
	case p.Pilot && (p.Scenario != record.Broadcast || len(p.Rates) != 1):
		return wrong("%d rates for a pilot in a load of %s; give a broadcast with one rate, which is used if the pilot finds none", len(p.Rates), p.Scenario)
	}
	for _, w := range p.Windows {
		if w < 1 {
			return wrong("a window of %d messages; give at least 1", w)
		}
	}
	piece := p.load().Duration
	for _, r := range p.Rates {
		if float64(r)*piece.Seconds() < 1 {
			return wrong("at %v no message is due within %v; give a higher rate or a longer -slice", r, piece)
		}
	}
	named := make(map[string]bool)
	for _, l := range p.loads() {
		if named[l.Name] {
			return wrong("load %s is listed twice; give each rate and each window once", l.Name)
		}
		named[l.Name] = true
	}
	return nil
}

// load is what all loads of a plan have in common.
func (p Plan) load() record.Load {
	l := record.Load{
		Scenario: p.Scenario, Clients: p.Clients, Senders: p.Senders, Size: int(p.Size),
		Pairs: p.Pairs, Files: p.Files, Downloads: p.Downloads, ChatRate: float64(p.ChatRate),
		Ramp: p.Ramp, Warmup: p.Warmup, Duration: p.Duration,
	}
	if p.Scenario == record.Scale {
		l.Scenario = record.Broadcast
	}
	if p.sliced() {
		l.Warmup, l.Duration, l.Slices = p.LeadIn, p.Slice, int((p.Duration+p.Slice/2)/p.Slice)
	}
	return l
}

// loads are the loads that each arm is measured under.
func (p Plan) loads() []record.Load {
	base, prefix := p.load(), ""
	switch p.Scenario {
	case record.Idle:
		base.Name = fmt.Sprintf("idle%d", p.Clients)
		return []record.Load{base}
	case record.Relay:
		prefix = "relay-"
	}
	var loads []record.Load
	for _, r := range p.Rates {
		l := base
		l.Rate, l.Arrivals = float64(r), "fixed"
		if p.Poisson {
			l.Arrivals = "poisson"
		}
		l.Name = prefix + l.Arrivals + strings.TrimSuffix(fmt.Sprintf("%g", l.Rate), ".0")
		loads = append(loads, l)
	}
	for _, w := range p.Windows {
		l := base
		l.Window, l.Name = w, fmt.Sprintf("%swindow%d", prefix, w)
		loads = append(loads, l)
	}
	for i := range loads {
		c := generatorConfig(loads[i])
		loads[i].PerMessage, loads[i].Clients = c.PerMessage(), c.InAll()
	}
	return loads
}

// generatorConfig converts a load to the generator's Config.
func generatorConfig(l record.Load) loadgen.Config {
	c := loadgen.Config{
		Scenario: l.Scenario, Clients: l.Clients, Senders: l.Senders, Size: units.Size(l.Size),
		Pairs: l.Pairs, Files: l.Files, Downloads: l.Downloads, ChatRate: units.Rate(l.ChatRate),
		Rate: units.Rate(l.Rate), Poisson: l.Arrivals == "poisson", Window: l.Window,
		Ramp: l.Ramp, Warmup: l.Warmup, Duration: l.Duration,
	}
	if l.Scenario == record.Relay {
		c.Clients = 0
	}
	return c
}

// nullEvery: the null server takes part in one of this number of rounds, from the first
// on. Under a load that is less than a tenth of what is measured, even with only one
// backend and its A/A arm.
const nullEvery = 5

// order returns all cells: round by round, in each round the loads in random order, and
// under each load all arms in random order, one directly after the other, because they
// will be compared as pairs. Under a closed loop the null server is one more arm
// in some rounds, in the same turns as the others: what disturbs them disturbs it.
func order(arms []record.Arm, loads []record.Load, rounds int, seed uint64) []record.Cell {
	var cells []record.Cell
	source := rand.New(rand.NewPCG(seed, 0x6f72646572)) // "order"
	withNull := append(slices.Clone(arms), record.Arm{Name: record.NullArm})
	for round := 1; round <= rounds; round++ {
		for _, l := range source.Perm(len(loads)) {
			here := arms
			if loads[l].Closed() && (round-1)%nullEvery == 0 {
				here = withNull
			}
			for _, a := range source.Perm(len(here)) {
				cells = append(cells, record.Cell{Round: round, Load: loads[l].Name, Arm: here[a].Name})
			}
		}
	}
	return cells
}
