package report

import (
	"fmt"
	"strings"

	"chatbench/bench/machine"
	"chatbench/bench/record"
)

// generatorText says where the generator ran: "CPU 1", or its agents.
func generatorText(m *record.Manifest) string {
	if len(m.Agents) == 0 {
		return "CPU " + machine.FormatCPUs(m.GeneratorCPUs)
	}
	return agentsText(m.Agents)
}

// agentsText lists the agents of a run: their names, machines and CPUs.
func agentsText(agents []record.Agent) string {
	if len(agents) == 0 {
		return "none"
	}
	var all []string
	for _, a := range agents {
		var about []string
		if a.Host != "" {
			about = append(about, "host "+a.Host)
		}
		if a.Kernel != "" {
			about = append(about, "Linux "+a.Kernel)
		}
		if len(a.CPUs) > 0 {
			about = append(about, "CPU "+machine.FormatCPUs(a.CPUs))
		}
		if a.Since > 0 {
			about = append(about, fmt.Sprintf("from round %d in the place of another", a.Since))
		}
		all = append(all, fmt.Sprintf("agent %s (%s)", a.Name, strings.Join(append(about, fmt.Sprintf("%d threads", a.Threads)), ", ")))
	}
	return strings.Join(all, ", ")
}

// threadsText is how many threads drove the load; "": the run does not say.
func threadsText(m *record.Manifest) string {
	if n := m.Threads(); n > 0 {
		return fmt.Sprint(n)
	}
	return ""
}

// agentCaveats lists the caveats of a run that agents drove.
func agentCaveats(agents []record.Agent) (lines []string) {
	if len(agents) == 0 {
		return nil
	}
	lines = append(lines, "the load came from "+agentsText(agents)+": whether they had CPUs of their own is not known")
	if len(agents) > 1 {
		lines = append(lines, "p50 and the other latencies are of deliveries within one agent; those from one agent to another have two clocks in them, and are in no figure")
	}
	return lines
}
