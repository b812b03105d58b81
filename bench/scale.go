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

// cpusFlag stands in place of a flag of chatd for the number of CPUs of a server, and of its
// event loops if it has loops.
const cpusFlag = "cpus"

// scaleRounds is how many rounds a scaling run has if it is given no number. All arms stay
// to the end, because the law is fitted to all of them.
const scaleRounds = 12

// splitCPUs returns the CPUs of the servers (except arms with CPUs of their own) and of
// the generator: those that were asked for, or chosen ones.
func (c *Config) splitCPUs(allowed []int) (server, generator []int) {
	server, generator, _ = machine.Split(allowed)
	if c.ServerCPUs != nil {
		server = c.ServerCPUs
	}
	if c.GeneratorCPUs != nil {
		generator = c.GeneratorCPUs
	}
	return server, generator
}

// settleCPUCounts sets the CPUs that servers may have and, of a scaling run, the numbers of them.
func (c *Config) settleCPUCounts(allowed []int) error {
	_, generator := c.splitCPUs(allowed)
	if c.order = c.ServerCPUs; c.order == nil {
		c.order = machine.Order(allowed, generator)
	}
	if c.Scenario != record.Scale {
		return nil
	}
	if c.CPUCounts == nil {
		free := slices.DeleteFunc(slices.Clone(c.order), func(cpu int) bool { return slices.Contains(generator, cpu) })
		c.CPUCounts = defaultCPUCounts(len(free), len(c.order))
	}
	for i, n := range c.CPUCounts {
		if slices.Contains(c.CPUCounts[:i], n) {
			return fmt.Errorf("%w: %d CPUs are listed twice; list each number once", ErrPlan, n)
		}
	}
	for _, text := range c.Names() {
		if strings.Contains(text, "@"+cpusFlag+"=") {
			return fmt.Errorf("%w: %s names a number of CPUs, but the scenario %s measures several; leave it out, or choose the numbers with -cpus", ErrPlan, text, record.Scale)
		}
	}
	return nil
}

// defaultCPUCounts returns the numbers of CPUs to measure with if the generator leaves some free: the
// powers of two, and all that are free; every number up to the count that determines the law
// (stats.USLNumbers). One number is no series: if only one CPU is free, the second number is all CPUs, the
// generator's among them.
func defaultCPUCounts(free, all int) (ns []int) {
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

// expandCPUCounts replaces each backend of a scaling run by an arm for each number of CPUs.
func (p *Plan) expandCPUCounts() {
	if p.Scenario != record.Scale {
		return
	}
	var all []string
	for _, backend := range p.Backends {
		for _, n := range p.CPUCounts {
			all = append(all, fmt.Sprintf("%s@%s=%d", backend, cpusFlag, n))
		}
	}
	p.Backends = all
}

// serverCPUs returns the CPUs of a server, given their number as a text.
func (p Plan) serverCPUs(text string) ([]int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > len(p.order) {
		return nil, fmt.Errorf("%w: a server cannot have %q CPUs; give a number from 1 to %d", ErrPlan, text, max(len(p.order), 1))
	}
	return slices.Sorted(slices.Values(p.order[:n])), nil
}
