package meter

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysEnter is the tracepoint that every system call passes.
const sysEnter = "events/raw_syscalls/sys_enter/id"

// Counters are perf events on a process tree that does not exist yet: opened
// on the calling thread, inherited by the process that it forks next and by all
// threads and children of that process, and enabled when that process calls
// execve. So nothing is missed and nothing is counted twice, however many
// threads the server starts before the counters are read.
//
// The calling thread itself is never counted, because it does not exec; it must be
// locked to its goroutine, fork one process, and not fork another before
// Close. Read may be called from any goroutine.
type Counters struct {
	files [kinds]*os.File // nil: not counted
	why   [kinds]error    // why not
}

type kind int

const (
	cpuTime kind = iota
	switches
	syscalls
	kinds
)

// OpenCounters opens the counters that are allowed. Notes explains what is not: that is no
// error, because there are less exact ways, or the figure is left out.
func OpenCounters(withSyscalls bool) *Counters {
	c := &Counters{}
	c.open(cpuTime, unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK)
	c.open(switches, unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CONTEXT_SWITCHES)
	if !withSyscalls {
		c.why[syscalls] = errors.New("not asked for")
		return c
	}
	id, err := tracepoint(sysEnter)
	if err != nil {
		c.why[syscalls] = err
		return c
	}
	c.open(syscalls, unix.PERF_TYPE_TRACEPOINT, id)
	return c
}

func (c *Counters) open(k kind, eventType uint32, config uint64) {
	attr := unix.PerfEventAttr{
		Type:   eventType,
		Config: config,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Bits:   unix.PerfBitDisabled | unix.PerfBitInherit | unix.PerfBitEnableOnExec,
	}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		c.why[k] = fmt.Errorf("perf_event_open: %w", err)
		return
	}
	c.files[k] = os.NewFile(uintptr(fd), "perf")
}

// read returns the count since exec; ok is false if there is no counter.
func (c *Counters) read(k kind) (n int64, ok bool) {
	if c == nil || c.files[k] == nil {
		return 0, false
	}
	return count(c.files[k])
}

// Close frees the counters.
func (c *Counters) Close() {
	for _, f := range c.files {
		if f != nil {
			f.Close()
		}
	}
}

// Counts says which of the two events whose counting costs something are counted.
func (c *Counters) Counts() (calls, changes bool) {
	return c.files[syscalls] != nil, c.files[switches] != nil
}

// Notes says how each figure of a Usage is measured with these counters. As with
// TaskTime.Note, another text is another method to a comparison.
func (c *Counters) Notes() map[string]string {
	notes := map[string]string{
		"cpu":              "perf task-clock of the process tree, in nanoseconds",
		"cpu split":        "user by the ticks of /proc/PID/stat over the whole load (10 ms), kernel is the rest: softirq on the server's behalf is in it",
		"context switches": "perf context-switches of the process tree",
		"syscalls":         "perf tracepoint raw_syscalls:sys_enter of the process tree; counting_ns_per_syscall in env.json is what that adds to each",
		"memory":           "/proc/PID/smaps_rollup and VmHWM of the process tree, after the load, clients connected",
		"socket memory":    "/proc/net/sockstat of the whole machine, less what it said before the server started",
	}
	if err := c.why[cpuTime]; err != nil {
		notes["cpu"] = fmt.Sprintf("ticks of /proc/PID/stat, 10 ms each (%v)", err)
	}
	if err := c.why[switches]; err != nil {
		notes["context switches"] = fmt.Sprintf("/proc/PID/task/TID/status, threads that ended left out (%v)", err)
	}
	if err := c.why[syscalls]; err != nil {
		notes["syscalls"] = fmt.Sprintf("absent: %v", err)
	}
	return notes
}

// tracepoint reads the id of a tracepoint. If tracefs is not mounted, it
// opens an unattached mount of it for the moment: no other process sees it, and
// nothing of the machine is changed.
func tracepoint(path string) (uint64, error) {
	for _, root := range []string{"/sys/kernel/tracing/", "/sys/kernel/debug/tracing/"} {
		if text, err := os.ReadFile(root + path); err == nil {
			return parseID(text)
		}
	}
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("tracefs is not readable: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, fmt.Errorf("tracefs is not readable: %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return 0, fmt.Errorf("tracefs is not readable: %w", err)
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("tracefs has no %s: %w", path, err)
	}
	defer unix.Close(fd)
	var text [32]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return 0, fmt.Errorf("tracefs: %w", err)
	}
	return parseID(text[:n])
}

func parseID(text []byte) (uint64, error) {
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("tracefs: %w", err)
	}
	return id, nil
}
