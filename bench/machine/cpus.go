// Package machine describes the machine a bench runs on: which CPUs there are and
// how to keep a thread on some of them, and what has to be recorded so that
// two runs can be compared.
//
// It changes nothing but the calling process's own affinity: no
// sysctl, no governor. Linux only. Its functions may be called from any
// goroutine, except where they say otherwise.
package machine

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Allowed returns the CPUs that this process may run on, in order. Call it before any thread
// is pinned: it asks for the main thread.
func Allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return nil, fmt.Errorf("machine: sched_getaffinity: %w", err)
	}
	var cpus []int
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// Split divides the CPUs: one for the server, the first; one for the
// generator, the last that shares no core with it. With one core each, figures
// of different machines are comparable. If there is a single CPU both get it,
// and shared is true.
func Split(allowed []int) (server, generator []int, shared bool) {
	return split(allowed, siblings)
}

func split(allowed []int, siblings func(int) []int) (server, generator []int, shared bool) {
	first := allowed[0]
	if len(allowed) == 1 {
		return []int{first}, []int{first}, true
	}
	last := allowed[len(allowed)-1]
	beside := siblings(first)
	for _, c := range slices.Backward(allowed) {
		if c != first && !slices.Contains(beside, c) {
			last = c
			break
		}
	}
	return []int{first}, []int{last}, false
}

// siblings returns the CPUs on the same core, including the CPU itself.
func siblings(cpu int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
	if err != nil {
		return []int{cpu}
	}
	cpus, err := ParseCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return []int{cpu}
	}
	return cpus
}

// ParseCPUs parses a list in the kernel's form: "0,2-3".
func ParseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 0 || to < from || to >= 64*len(unix.CPUSet{}) {
			return nil, fmt.Errorf("machine: %q is not a list of CPUs; write it like 0,2-3", list)
		}
		for c := from; c <= to; c++ {
			cpus = append(cpus, c)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// FormatCPUs is the inverse of ParseCPUs: "0,2-3".
func FormatCPUs(cpus []int) string {
	var b strings.Builder
	for i := 0; i < len(cpus); i++ {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		from := i
		for i+1 < len(cpus) && cpus[i+1] == cpus[i]+1 {
			i++
		}
		fmt.Fprintf(&b, "%d", cpus[from])
		if i > from {
			fmt.Fprintf(&b, "-%d", cpus[i])
		}
	}
	return b.String()
}

// PinProcess keeps all threads of this process on the CPUs: those that exist,
// and so those that they start. Threads that are pinned afterwards are not
// affected.
func PinProcess(cpus []int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	tids, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	for _, e := range tids {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("machine: cannot run on CPU %s: %w", FormatCPUs(cpus), err)
		}
	}
	return nil
}
