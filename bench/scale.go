package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chatbench/bench/machine"
	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// byCPUs stands for a flag of chatd's where a server is to have so many CPUs, and as many
// event loops if it has loops.
const byCPUs = "cpus"

// scaleRounds is how many rounds a scaling run has that is given no number: all arms stay
// to the end, for the law is put through all of them.
const scaleRounds = 12

// split is the CPUs of the servers, but for those of arms with CPUs of their own, and of
// the generator: those that were asked for, or else chosen.
func (c *Config) split(allowed []int) (server, generator []int) {
	server, generator, _ = machine.Split(allowed)
	if c.ServerCPUs != nil {
		server = c.ServerCPUs
	}
	if c.GeneratorCPUs != nil {
		generator = c.GeneratorCPUs
	}
	return server, generator
}

// sizes settles the CPUs that servers may have and, of a scaling run, the numbers of them.
func (c *Config) sizes(allowed []int) error {
	_, generator := c.split(allowed)
	if c.order = c.ServerCPUs; c.order == nil {
		c.order = machine.Order(allowed, generator)
	}
	if c.Scenario != record.Scale {
		return nil
	}
	if c.CPUCounts == nil {
		free := slices.DeleteFunc(slices.Clone(c.order), func(cpu int) bool { return slices.Contains(generator, cpu) })
		c.CPUCounts = counts(len(free), len(c.order))
	}
	for i, n := range c.CPUCounts {
		if slices.Contains(c.CPUCounts[:i], n) {
			return fmt.Errorf("%w: %d CPUs are listed twice; list each number once", ErrPlan, n)
		}
	}
	for _, text := range c.Names() {
		if strings.Contains(text, "@"+byCPUs+"=") {
			return fmt.Errorf("%w: %s names a number of CPUs, and the scenario %s has several; leave it away, or choose them with -cpus", ErrPlan, text, record.Scale)
		}
	}
	return nil
}

// counts is the numbers of CPUs to measure with where the generator leaves some free: the
// powers of two, and all that are free; every number up to as many as determine the law
// (stats.USLNumbers). One is no series: if no more are free, all there are come second, the
// generator's among them.
func counts(free, all int) (ns []int) {
	for n := 1; n < free; n++ {
		if free <= stats.USLNumbers || n&(n-1) == 0 {
			ns = append(ns, n)
		}
	}
	if free > 0 {
		ns = append(ns, free)
	}
	if free <= 1 && all > 1 {
		ns = append(ns, all)
	}
	if ns == nil {
		ns = []int{1}
	}
	return ns
}

// expand puts an arm for each number of CPUs in the place of each backend of a scaling run.
func (p *Plan) expand() {
	if p.Scenario != record.Scale {
		return
	}
	var all []string
	for _, backend := range p.Backends {
		for _, n := range p.CPUCounts {
			all = append(all, fmt.Sprintf("%s@%s=%d", backend, byCPUs, n))
		}
	}
	p.Backends = all
}

// size is the CPUs of a server that is to have so many.
func (p Plan) size(text string) ([]int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > len(p.order) {
		return nil, fmt.Errorf("%w: a server cannot have %q CPUs; give a number from 1 to %d", ErrPlan, text, max(len(p.order), 1))
	}
	return slices.Sorted(slices.Values(p.order[:n])), nil
}
