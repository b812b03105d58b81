// Package meter takes what a server's process tree uses: CPU, system calls,
// context switches, memory, and what others took of its CPUs meanwhile.
//
// It refuses to sample on its own: it looks when it is told to, for a look
// costs CPU. It measures from
// outside, so that a server need not help and cannot lie. A Meter belongs to
// one goroutine at a time; Linux only.
package meter

import (
	"fmt"
	"os"
	"time"

	"chatbench/bench/record"
)

// Meter looks at one process tree.
type Meter struct {
	Root       int       // the server's process id
	Counters   *Counters // opened before it was forked; nil: /proc alone
	Ran        *Ran      // on ServerCPUs, and maybe on others; nil: others' time and nobody's are not told apart
	ServerCPUs []int
	OtherCPUs  []int // in use besides: the generator's
	SocketBase int64 // SocketMemory before the server started
}

// Sample is one look.
type Sample struct {
	At       time.Time
	cpu      int64 // nanoseconds
	switches int64
	syscalls int64
	callsOK  bool
	// Only in the samples Look takes.
	user    int64 // nanoseconds, by ticks
	system  int64
	machine map[int]cpuTicks
	ran     int64 // nanoseconds, of all tasks on the server's CPUs
	ranOK   bool
}

// Glance takes what Between needs of the start and the end of the timed
// section. With counters it costs microseconds; without, it reads /proc.
func (m *Meter) Glance() Sample {
	s := Sample{At: time.Now()}
	var cpuOK, switchesOK bool
	s.cpu, cpuOK = m.Counters.read(cpuTime)
	s.syscalls, s.callsOK = m.Counters.read(syscalls)
	s.switches, switchesOK = m.Counters.read(switches)
	if cpuOK && switchesOK {
		return s
	}
	pids := Tree(m.Root)
	if !cpuOK {
		user, system := treeTicks(pids)
		s.cpu = user + system
	}
	if !switchesOK {
		s.switches = statusSwitches(pids)
	}
	return s
}

// Look takes what changes slowly too: it is for before and after the load.
func (m *Meter) Look() Sample {
	s := m.Glance()
	s.user, s.system = treeTicks(Tree(m.Root))
	s.machine = machineTicks()
	s.ran, s.ranOK = m.Ran.read(m.ServerCPUs)
	return s
}

// Between is the use from one glance to the next. The two looks before and
// after the whole load say how it splits into user and kernel, and what else
// went on: both come in ticks of 10 ms, too coarse for a short section. Memory
// and the size of the tree are Hold's.
func (m *Meter) Between(from, to, before, after Sample) record.Usage {
	var u record.Usage
	cpu := to.cpu - from.cpu
	user := cpu
	// What ran in softirq on the server's behalf is in cpu and in no tick: it
	// is the kernel's. So the share is of cpu, not of the ticks' sum.
	if whole := max(after.cpu-before.cpu, after.user+after.system-before.user-before.system); whole > 0 {
		user = int64(float64(cpu) * float64(after.user-before.user) / float64(whole))
	}
	kernel := cpu - user
	u.CPU, u.CPUUser, u.CPUKernel = &cpu, &user, &kernel
	changes := to.switches - from.switches
	u.ContextSwitches = &changes
	if from.callsOK && to.callsOK {
		calls := to.syscalls - from.syscalls
		u.Syscalls = &calls
	}
	if before.machine != nil && after.machine != nil {
		steal := max(stolen(before, after, m.ServerCPUs), stolen(before, after, m.OtherCPUs))
		foreign, uncharged := m.foreign(before, after)
		u.Steal, u.Foreign, u.Uncharged = &steal, &foreign, uncharged
	}
	return u
}

// Sum adds up pieces of a load that was put on the server in turns with others.
// What could not be taken in one of them is absent from the whole. The zero Sum is
// ready.
type Sum struct {
	from, to, before, after Sample
	begun                   bool
}

// Add adds one piece: what Between takes of it.
func (s *Sum) Add(from, to, before, after Sample) {
	calls, ran, machine := from.callsOK && to.callsOK, before.ranOK && after.ranOK, before.machine != nil && after.machine != nil
	if s.begun {
		calls, ran, machine = calls && s.to.callsOK, ran && s.after.ranOK, machine && s.before.machine != nil
	}
	s.begun = true
	s.from, s.before = Sample{callsOK: true}, Sample{ranOK: true}
	s.to.add(from, to)
	s.after.add(before, after)
	s.to.callsOK, s.after.ranOK = calls, ran
	if machine {
		s.before.machine = make(map[int]cpuTicks) // every CPU at 0
	}
}

// Usage is Between of all pieces together.
func (m *Meter) Usage(s *Sum) record.Usage { return m.Between(s.from, s.to, s.before, s.after) }

// add adds what lies between two samples.
func (s *Sample) add(from, to Sample) {
	s.At = s.At.Add(to.At.Sub(from.At))
	s.cpu += to.cpu - from.cpu
	s.switches += to.switches - from.switches
	s.syscalls += to.syscalls - from.syscalls
	s.user += to.user - from.user
	s.system += to.system - from.system
	s.ran += to.ran - from.ran
	if s.machine == nil {
		s.machine = make(map[int]cpuTicks)
	}
	for n, b := range to.machine {
		a, sum := from.machine[n], s.machine[n]
		s.machine[n] = cpuTicks{idle: sum.idle + b.idle - a.idle, steal: sum.steal + b.steal - a.steal, total: sum.total + b.total - a.total}
	}
}

// foreign is the share of the server's CPUs that others used, and the share that
// was charged to nobody. Where the time of all tasks is known, others' is what of
// it was not the server's, and nobody's is what was neither a task's nor idle nor
// stolen. Else uncharged is nil, and foreign what was neither idle nor stolen nor
// the server's own. Idle and stolen time come in ticks, and what a task
// ran for is known a tick later: what comes out below nothing is nothing, and what
// comes out above everything is everything.
func (m *Meter) foreign(before, after Sample) (foreign float64, uncharged *float64) {
	total := after.At.Sub(before.At) * time.Duration(len(m.ServerCPUs))
	if total <= 0 {
		return 0, nil
	}
	busy := int64(total)
	for _, c := range m.ServerCPUs {
		a, b := before.machine[c], after.machine[c]
		busy -= (b.idle - a.idle + b.steal - a.steal) * tick
	}
	share := func(ns int64) float64 { return min(max(0, float64(ns)/float64(total)), 1) }
	own := after.cpu - before.cpu
	if !before.ranOK || !after.ranOK {
		return share(busy - own), nil
	}
	ran := after.ran - before.ran
	nobody := share(busy - max(ran, own))
	return share(ran - own), &nobody
}

// stolen is the largest share that was stolen from one of the CPUs.
func stolen(from, to Sample, cpus []int) (share float64) {
	for _, c := range cpus {
		a, b := from.machine[c], to.machine[c]
		if total := b.total - a.total; total > 0 {
			share = max(share, float64(b.steal-a.steal)/float64(total))
		}
	}
	return share
}

// Hold adds to a usage what the tree holds now. It reads page tables and may
// take milliseconds: it is for after the load, with everybody still connected.
func (m *Meter) Hold(u *record.Usage) {
	var rss, peak, pss int64
	rssOK, peakOK := true, true
	pids := Tree(m.Root)
	u.Processes, u.Threads = len(pids), 0
	for _, pid := range pids {
		u.Threads += len(threads(pid))
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		r, ok1 := value(rollup, "Rss:")
		p, ok2 := value(rollup, "Pss:")
		rss, pss, rssOK = rss+r<<10, pss+p<<10, rssOK && err == nil && ok1 && ok2
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		h, ok := value(status, "VmHWM:")
		peak, peakOK = peak+h<<10, peakOK && err == nil && ok
	}
	if rssOK {
		u.RSS, u.PSS = &rss, &pss
	}
	if peakOK {
		u.RSSPeak = &peak
	}
	if octets, ok := SocketMemory(); ok {
		octets = max(octets-m.SocketBase, 0)
		u.SocketMemory = &octets
	}
}
