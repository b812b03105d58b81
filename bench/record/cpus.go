package record

import "slices"

// CPUsOf returns the CPUs of an arm's server: the arm's own, or those of all servers.
func (m *Manifest) CPUsOf(arm string) []int {
	for i := range m.Arms {
		if m.Arms[i].Name == arm && m.Arms[i].CPUs != nil {
			return m.Arms[i].CPUs
		}
	}
	return m.ServerCPUs
}

// Shares says whether an arm's server and the generator shared a CPU.
func (m *Manifest) Shares(arm string) bool {
	return m.SharedCPU || slices.ContainsFunc(m.CPUsOf(arm), func(c int) bool { return slices.Contains(m.GeneratorCPUs, c) })
}

// AnyShares says whether the server of any arm did.
func (m *Manifest) AnyShares() bool {
	return m.SharedCPU || slices.ContainsFunc(m.Arms, func(a Arm) bool { return m.Shares(a.Name) })
}

// RulesOf returns the rules for the rounds of an arm: if server and generator share a CPU,
// the generator counts as another process that uses it.
func (m *Manifest) RulesOf(arm string) Rules {
	r := m.Rules
	if m.Shares(arm) {
		r.ForeignMax, r.ExcuseMax, r.GeneratorMax = 1, 0, 0
	}
	return r
}

// ServersCPUs returns all CPUs that some server has, in order.
func (m *Manifest) ServersCPUs() []int {
	all := slices.Clone(m.ServerCPUs)
	for i := range m.Arms {
		all = append(all, m.Arms[i].CPUs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Threads is how many threads drove a load; 0: the run is an older one with several CPUs, which does
// not say whether there was a thread on each.
func (m *Manifest) Threads() int {
	if m.GeneratorThreads == 0 && len(m.GeneratorCPUs) == 1 {
		return 1
	}
	return m.GeneratorThreads
}
