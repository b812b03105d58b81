// Package meter takes what a server's process tree uses: CPU, system calls,
// context switches, memory, and what others took of its CPUs meanwhile.
//
// It refuses to sample on its own: it looks when it is told to, at the start
// and the end of the timed section, for a look costs CPU. It measures from
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
	ServerCPUs []int
	OtherCPUs  []int // in use besides: the generator's
	SocketBase int64 // SocketMemory before the server started
}

// Sample is one look.
type Sample struct {
	At       time.Time
	cpu      int64 // nanoseconds; valid if cpuOK
	cpuOK    bool
	user     int64 // ticks
	system   int64
	switches int64
	syscalls int64
	callsOK  bool
	machine  map[int]cpuTicks
}

// Look takes a sample. The exact counters are read first: they cost
// microseconds, /proc tenths of a millisecond and more for a large tree. At the
// start of a section that cost is spent before it, at its end after it, if
// first says which of the two this is.
func (m *Meter) Look(first bool) (Sample, error) {
	var s Sample
	if first {
		if err := m.lookAround(&s); err != nil {
			return s, err
		}
	}
	s.At = time.Now()
	s.cpu, s.cpuOK = m.Counters.read(cpuTime)
	s.syscalls, s.callsOK = m.Counters.read(syscalls)
	if n, ok := m.Counters.read(switches); ok {
		s.switches = n
	}
	if !first {
		if err := m.lookAround(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// lookAround is the part of a look that goes through /proc.
func (m *Meter) lookAround(s *Sample) error {
	pids := tree(m.Root)
	for i, pid := range pids {
		user, system, err := ticks(pid)
		if err != nil {
			if i == 0 {
				return err
			}
			continue // a child that has just ended: its parent has its time
		}
		s.user, s.system = s.user+user, s.system+system
	}
	if _, ok := m.Counters.read(switches); !ok {
		s.switches = statusSwitches(pids)
	}
	s.machine = machineTicks()
	return nil
}

// Between is the use from one sample to the next. Memory and the size of the
// tree are Hold's.
func (m *Meter) Between(from, to Sample) record.Usage {
	var u record.Usage
	const tick = int64(time.Second) / userHz
	cpu, user := (to.user+to.system-from.user-from.system)*tick, (to.user-from.user)*tick
	if from.cpuOK && to.cpuOK {
		cpu = to.cpu - from.cpu
	}
	user = min(user, cpu)
	kernel := cpu - user
	u.CPU, u.CPUUser, u.CPUKernel = &cpu, &user, &kernel
	changes := to.switches - from.switches
	u.ContextSwitches = &changes
	if from.callsOK && to.callsOK {
		calls := to.syscalls - from.syscalls
		u.Syscalls = &calls
	}
	if from.machine != nil && to.machine != nil {
		steal := max(stolen(from, to, m.ServerCPUs), stolen(from, to, m.OtherCPUs))
		u.Steal = &steal
		foreign := -cpu
		for _, c := range m.ServerCPUs {
			foreign += (to.machine[c].busy - from.machine[c].busy) * tick
		}
		foreign = max(foreign, 0) // the tick is coarser than the counter
		u.Foreign = &foreign
	}
	return u
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
// take milliseconds: call it outside the timed section.
func (m *Meter) Hold(u *record.Usage) {
	var rss, peak, pss int64
	rssOK, peakOK := true, true
	pids := tree(m.Root)
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
