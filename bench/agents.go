package bench

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"chatbench/bench/record"
	"chatbench/bench/rules"
	"chatbench/loadgen"
	"chatbench/loadgen/agents"
)

// gatherLimit is how long the agents of a run may take to join, and replacementLimit how long
// the replacement of a lost agent may take.
const (
	gatherLimit      = 5 * time.Minute
	replacementLimit = 10 * time.Second
)

// checkAgents refuses what agents cannot do.
func (c Config) checkAgents() error {
	wrong := func(why string) error { return fmt.Errorf("%w: agents %s", ErrPlan, why) }
	switch {
	case len(c.Agents) == 0 && c.AgentsListen == "":
		return nil
	case len(c.Agents) == 0:
		return fmt.Errorf("%w: there is an address for agents to join, but no agents; give -agents", ErrPlan)
	case c.Scenario != record.Broadcast:
		return wrong("drive a broadcast; leave them out of " + c.Scenario)
	case c.sliced():
		return wrong("measure each arm in one piece; add -whole")
	case c.Pilot:
		return wrong("have no pilot; give the open loop's -rate, or none")
	}
	if len(c.GeneratorCPUs) > 0 {
		return wrong("have CPUs of their own; leave -generator-cpus out, and give loadgen agent -cpu")
	}
	for i, name := range c.Agents {
		if name != "" && slices.Contains(c.Agents[:i], name) {
			return wrong("have different names; " + name + " is listed twice")
		}
	}
	return nil
}

// gather waits for the agents of the plan, if it has any, and adds them to the manifest.
func (b *bench) gather(ctx context.Context) (err error) {
	if len(b.cfg.Agents) == 0 {
		return nil
	}
	for _, a := range b.run.Manifest.Arms {
		if a.TLS {
			return fmt.Errorf("%w: agents speak no TLS; leave %s out", ErrPlan, a.Name)
		}
	}
	if b.agents, err = agents.Listen(cmp.Or(b.cfg.AgentsListen, ":7420"), b.cfg.Agents); err != nil {
		return err
	}
	b.logf("waiting for %d agents on %s", len(b.cfg.Agents), b.agents.Addr())
	if err := b.agents.Gather(ctx, gatherLimit); err != nil {
		return err
	}
	b.recordAgents(0)
	return nil
}

// recordAgents adds agents that are not in the manifest yet, with the first round that they drive. It says whether
// there were any.
func (b *bench) recordAgents(round int) (some bool) {
	m := &b.run.Manifest
	for _, a := range b.agents.Agents() {
		if slices.ContainsFunc(m.Agents, func(known record.Agent) bool { return known.Place == a.Place && known.Address == a.Address }) {
			continue
		}
		some = true
		m.Agents = append(m.Agents, record.Agent{
			Name: a.Name, Since: round, Place: a.Place, Address: a.Address, Version: a.Version, Threads: a.Threads, CPUs: a.CPUs, Host: a.Host, Kernel: a.Kernel,
			Offset: a.Offset, Bound: a.Bound, RoundTrip: a.RoundTrip,
		})
		b.logf("agent %s (%s), %d threads, its clock %+v ± %v from this one", a.Name, a.Address, a.Threads, a.Offset.Round(time.Microsecond), a.Bound)
	}
	return some
}

// gatherReplacements waits for agents that replace lost ones. It is called before the server starts, because the server
// listens at the address that all agents can reach.
func (b *bench) gatherReplacements(ctx context.Context, r *record.Round) error {
	if b.agents == nil {
		return nil
	}
	if err := b.agents.Gather(ctx, replacementLimit); err != nil {
		return fmt.Errorf("%w: %w", agents.ErrLost, err)
	}
	b.markUnpaired(r, b.recordAgents(r.Round))
	return nil
}

// drive puts a load on a server, with the agents if there are any.
func (b *bench) drive(ctx context.Context, cfg loadgen.Config) (*loadgen.Result, error) {
	if b.agents == nil {
		return loadgen.Run(ctx, cfg)
	}
	return b.agents.Run(ctx, cfg)
}

// markUnpaired marks the arms of a round and load that cannot be compared, because an agent was replaced between two of
// them. What was measured before the replacement becomes void.
func (b *bench) markUnpaired(r *record.Round, replaced bool) {
	for i := range b.run.Rounds {
		other := &b.run.Rounds[i]
		if other.Round != r.Round || other.Load != r.Load {
			continue
		}
		if replaced && !slices.Contains(other.Void, record.AgentLost) {
			other.AgentsChanged = true
			other.Void, other.Marks = rules.Judge(*other, b.loads[other.Load], b.run.Manifest.RulesOf(other.Arm), 0)
			if b.cfg.Void != nil {
				b.cfg.Void(*other)
			}
		}
		r.AgentsChanged = r.AgentsChanged || other.AgentsChanged
	}
}

// listenArguments is the flag of chatd that makes a server listen where the agents can reach it; nil without
// agents.
func (b *bench) listenArguments() []string {
	if b.agents == nil {
		return nil
	}
	return []string{"-listen", net.JoinHostPort(b.agents.Host(), "0")}
}

func (b *bench) logf(format string, args ...any) {
	if b.cfg.Log != nil {
		b.cfg.Log(fmt.Sprintf(format, args...))
	}
}
