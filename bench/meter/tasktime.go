package meter

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statRuntime is the tracepoint by which the scheduler reports how long a task
// ran. A perf event on it does not count events but sums these nanoseconds
// (__perf_count in the kernel's include/trace/events/sched.h).
const statRuntime = "events/sched/sched_stat_runtime/id"

// TaskTime counts how long tasks ran on some CPUs: of all processes, including those that
// begin and end in between, and of the kernel's own threads, except for the idle task.
// The ticks of /proc/stat cannot tell that: they see what runs at one moment
// in four milliseconds or more, and a load may be in step with them.
//
// With it, the time in which a CPU is not idle and not stolen has three parts: the
// server's (its own counter), other tasks', and time not charged to any task:
// interrupts and softirqs while no task ran, and the way out of idleness. On a
// kernel with CONFIG_IRQ_TIME_ACCOUNTING interrupts are not charged
// even if they interrupt a task; without it, they are charged to that task.
//
// The scheduler reports at switches, at ticks and on request, so what is running
// now may be missing by one tick of the kernel (1 to 10 ms). A report counts on the
// CPU that makes it: one that wakes a task on another CPU reports what the task there ran
// for. Only the sum over all CPUs is therefore exact. Between the server's CPUs and the
// generator's some time is on the wrong side, more of it the more one wakes the other.
// Each report costs the CPU some 0.1 µs. Safe for any goroutine until Close.
type TaskTime struct {
	files map[int]*os.File // by CPU; nil: not counted
	why   error            // why not
}

// OpenTaskTime begins to count on the CPUs. If that is not allowed (it needs
// kernel.perf_event_paranoid of 0 or less, or root) Note says so; that is no error.
func OpenTaskTime(cpus []int) *TaskTime {
	r := &TaskTime{files: make(map[int]*os.File)}
	id, err := tracepoint(statRuntime)
	if err != nil {
		r.files, r.why = nil, err
		return r
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	for _, cpu := range cpus {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			r.Close()
			r.files, r.why = nil, fmt.Errorf("perf_event_open: %w", err)
			return r
		}
		r.files[cpu] = os.NewFile(uintptr(fd), "perf")
	}
	return r
}

// read is the sum over some of the CPUs since OpenTaskTime, in nanoseconds; ok is false
// if one of them is not counted.
func (r *TaskTime) read(cpus []int) (ns int64, ok bool) {
	if r == nil || r.files == nil {
		return 0, false
	}
	for _, cpu := range cpus {
		f := r.files[cpu]
		if f == nil {
			return 0, false
		}
		n, ok := count(f)
		if !ok {
			return 0, false
		}
		ns += n
	}
	return ns, true
}

// Close ends the counting.
func (r *TaskTime) Close() {
	for _, f := range r.files {
		f.Close()
	}
}

// Note says how the time of other processes is measured. It is stored in the manifest, and a
// comparison takes runs with different notes as measured in different ways: keep the texts.
func (r *TaskTime) Note() string {
	if r.why != nil {
		return fmt.Sprintf("what was neither idle nor stolen nor the server's, by the ticks of /proc/stat: interrupts that are charged to nobody are in it (%v)", r.why)
	}
	return "perf tracepoint sched:sched_stat_runtime of the server's CPUs, which counts the time of all tasks, less the server's; uncharged is what was neither idle nor stolen nor any task's, by the ticks of /proc/stat"
}

// count reads a perf event.
func count(f *os.File) (n int64, ok bool) {
	var b [8]byte
	if n, err := f.Read(b[:]); err != nil || n != len(b) {
		return 0, false
	}
	return int64(binary.NativeEndian.Uint64(b[:])), true
}
