package meter

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statRuntime is the tracepoint by which the scheduler reports how long a task
// ran. A perf event on it counts not how often but the nanoseconds themselves
// (__perf_count in the kernel's include/trace/events/sched.h).
const statRuntime = "events/sched/sched_stat_runtime/id"

// Ran counts how long tasks ran on some CPUs: of all processes, also of those that
// begin and end meanwhile, and of the kernel's own threads, but for the idle task.
// The ticks of /proc/stat cannot tell that: they see what runs at one moment
// in four milliseconds or more, and a load may keep in step with them.
//
// With it the time of a CPU that is neither idle nor stolen falls into three: the
// server's (its own counter), other tasks', and time charged to nobody:
// interrupts and softirqs while no task ran, and the way out of idleness. On a
// kernel with CONFIG_IRQ_TIME_ACCOUNTING interrupts are charged to nobody
// even where they interrupt a task; without, that task has them.
//
// The scheduler reports at switches, at ticks and when asked, so what runs just
// now may be missing by one tick of the kernel (1 to 10 ms). Each report costs the
// CPU some 0.1 µs: see Price. Safe for any goroutine until Close.
type Ran struct {
	files map[int]*os.File // by CPU; nil: not counted
	why   error            // why not
}

// OpenRan begins to count on the CPUs. Where that is not allowed (it takes
// kernel.perf_event_paranoid of 0 or less, or root) Note says so; that is no error.
func OpenRan(cpus []int) *Ran {
	r := &Ran{files: make(map[int]*os.File)}
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

// read is the sum over some of the CPUs since OpenRan, in nanoseconds; ok is false
// where it is not counted on one of them.
func (r *Ran) read(cpus []int) (ns int64, ok bool) {
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
func (r *Ran) Close() {
	for _, f := range r.files {
		f.Close()
	}
}

// Note says how the time of others is taken.
func (r *Ran) Note() string {
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
