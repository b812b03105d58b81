// Package meter measures what a server's process tree uses: CPU, system calls,
// context switches, memory, what other processes use of its CPUs at the same time, and how long a CPU
// limit keeps it from them.
//
// It never samples on its own: it reads when it is called, because reading
// costs CPU. It measures from
// outside, so a server need not help and cannot lie. A Meter belongs to
// one goroutine at a time; Linux only.
package meter

import (
	"fmt"
	"os"
	"time"

	"chatbench/bench/record"
)

// Meter measures one process tree.
type Meter struct {
	Root       int       // the server's process id
	Counters   *Counters // opened before it was forked; nil: only /proc is read
	TaskTime   *TaskTime // on ServerCPUs, and maybe on others; nil: time of other tasks and uncharged time are not distinguished
	Limits     Limits    // none: that something was throttled is not measured
	ServerCPUs []int
	OtherCPUs  []int // other CPUs in use: the generator's
	SocketBase int64 // SocketMemory before the server started
}

// Sample is one reading.
type Sample struct {
	At       time.Time
	cpu      int64 // nanoseconds
	switches int64
	syscalls int64
	callsOK  bool
	// Only in the samples of ReadAll.
	user      int64 // nanoseconds, by ticks
	system    int64
	machine   map[int]cpuTicks
	throttled map[string]int64 // nanoseconds, by cgroup with a limit; nil: not known
	ran       int64            // nanoseconds, of all tasks on the server's CPUs
	ranOK     bool
}

// ReadCounters reads what Between needs of the start and the end of the timed
// section. With counters it takes microseconds; without, it reads /proc.
func (m *Meter) ReadCounters() Sample {
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

// ReadAll also reads what changes slowly: call it before and after the load.
func (m *Meter) ReadAll() Sample {
	s := m.ReadCounters()
	s.user, s.system = treeTicks(Tree(m.Root))
	s.machine = machineTicks()
	s.throttled = m.Limits.read()
	s.ran, s.ranOK = m.TaskTime.read(m.ServerCPUs)
	return s
}

// Between is the use between two samples of ReadCounters. The two samples of ReadAll, before and
// after the whole load, say how it splits into user and kernel, and what else
// ran: both come in ticks of 10 ms, too coarse for a short section. Memory
// and the size of the tree are added by ReadMemory.
func (m *Meter) Between(from, to, before, after Sample) record.Usage {
	var u record.Usage
	cpu := to.cpu - from.cpu
	user := cpu
	// What ran in softirq for the server is in cpu and in no tick: it
	// is kernel time. So the share is of cpu, not of the sum of the ticks.
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
	if before.throttled != nil && after.throttled != nil {
		throttled := m.throttled(before, after)
		u.Throttled = &throttled
	}
	return u
}

// Sum adds up pieces of a load that was put on the server in turns with others.
// A figure that could not be measured in one piece is absent from the sum. The zero Sum is
// ready.
type Sum struct {
	from, to, before, after Sample
	begun                   bool
}

// Add adds one piece, given the samples that Between takes.
func (s *Sum) Add(from, to, before, after Sample) {
	calls, ran, machine := from.callsOK && to.callsOK, before.ranOK && after.ranOK, before.machine != nil && after.machine != nil
	throttled := before.throttled != nil && after.throttled != nil
	if s.begun {
		calls, ran, machine = calls && s.to.callsOK, ran && s.after.ranOK, machine && s.before.machine != nil
		throttled = throttled && s.before.throttled != nil
	}
	s.begun = true
	s.from, s.before = Sample{callsOK: true}, Sample{ranOK: true}
	s.to.add(from, to)
	s.after.add(before, after)
	s.to.callsOK, s.after.ranOK = calls, ran
	if machine {
		s.before.machine = make(map[int]cpuTicks) // every CPU at 0
	}
	if throttled {
		s.before.throttled = make(map[string]int64)
	}
}

// Usage is Between over all pieces together.
func (m *Meter) Usage(s *Sum) record.Usage { return m.Between(s.from, s.to, s.before, s.after) }

// add adds the difference of two samples.
func (s *Sample) add(from, to Sample) {
	s.At = s.At.Add(to.At.Sub(from.At))
	s.cpu += to.cpu - from.cpu
	s.switches += to.switches - from.switches
	s.syscalls += to.syscalls - from.syscalls
	s.user += to.user - from.user
	s.system += to.system - from.system
	s.ran += to.ran - from.ran
	if s.machine == nil {
		s.machine, s.throttled = make(map[int]cpuTicks), make(map[string]int64)
	}
	for dir, ns := range to.throttled {
		s.throttled[dir] += ns - from.throttled[dir]
	}
	for n, b := range to.machine {
		a, sum := from.machine[n], s.machine[n]
		s.machine[n] = cpuTicks{idle: sum.idle + b.idle - a.idle, steal: sum.steal + b.steal - a.steal, total: sum.total + b.total - a.total}
	}
}

// foreign returns the share of the server's CPUs that other processes used, and the share that
// was not charged to any task. If the run time of all tasks is known, foreign is that time
// without the server's, and uncharged is the time that was neither charged to a task nor idle nor
// stolen. Otherwise uncharged is nil, and foreign is the time that was not idle, not stolen and not
// charged to the server. Idle and stolen time come in ticks, and the run time of a task
// is known a tick later: results below 0 are set to 0, and results
// above 1 to 1.
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
	rest := share(busy - max(ran, own))
	return share(ran - own), &rest
}

// stolen is the largest share that the hypervisor took from one of the CPUs.
func stolen(from, to Sample, cpus []int) (share float64) {
	for _, c := range cpus {
		a, b := from.machine[c], to.machine[c]
		if total := b.total - a.total; total > 0 {
			share = max(share, float64(b.steal-a.steal)/float64(total))
		}
	}
	return share
}

// ReadMemory adds to a usage the memory and size of the tree at present. It reads page tables and may
// take milliseconds: call it after the load, with all clients still connected.
func (m *Meter) ReadMemory(u *record.Usage) {
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
