package meter

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/bench/machine"
)

// TestTaskTime: the time for which a process runs on a CPU is counted, while another CPU wakes a
// task there again and again. Whoever wakes one reports the time, so it is the sum over all CPUs
// of the machine that is looked at.
func TestTaskTime(t *testing.T) {
	allowed, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		t.Fatal(err)
	}
	all, err := machine.ParseCPUs(strings.TrimSpace(string(online)))
	if err != nil {
		t.Fatal(err)
	}
	r := OpenTaskTime(all)
	defer r.Close()
	before, ok := r.read(all)
	if !ok {
		if !strings.HasPrefix(r.Note(), "what was neither") {
			t.Errorf("not counted, but the note is %q", r.Note())
		}
		t.Skip(r.why)
	}
	// The process is on the CPU from its first instruction: the thread that starts it is.
	ran := func(cpu int) (ns int64) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and the thread ends with the goroutine
			var only unix.CPUSet
			only.Set(cpu)
			if err := unix.SchedSetaffinity(0, &only); err != nil {
				return
			}
			cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
			if cmd.Run() == nil {
				ns = int64(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
			}
		}()
		<-done
		return ns
	}
	stop := wakeups(t, allowed[0], allowed[len(allowed)-1])
	own := ran(allowed[0])
	stop()
	if own == 0 {
		t.Skip("no process can be run there")
	}
	after, _ := r.read(all)
	if after-before < own-20e6 {
		t.Errorf("%d ns ran, a process alone took %d", after-before, own)
	}
	if _, ok := (*TaskTime)(nil).read(allowed[:1]); ok {
		t.Error("a TaskTime that counts nothing reports a time")
	}
}

// wakeups wakes a thread on one CPU from another, 5,000 times a second, until stop is called.
func wakeups(t *testing.T, cpu, from int) (stop func()) {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	on := func(cpu int) { // and the thread ends with the goroutine
		runtime.LockOSThread()
		var only unix.CPUSet
		only.Set(cpu)
		if err := unix.SchedSetaffinity(0, &only); err != nil {
			t.Error(err)
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		on(cpu)
		for b := make([]byte, 1); ; {
			if n, err := unix.Read(pipe[0], b); n == 0 || err != nil && err != unix.EINTR {
				return
			}
		}
	})
	var stopped atomic.Bool
	both.Go(func() {
		on(from)
		defer unix.Close(pipe[1])
		for !stopped.Load() {
			unix.Write(pipe[1], []byte{0})
			for at := time.Now(); time.Since(at) < 200*time.Microsecond; { // not asleep: a wakeup by a timer is one more
			}
		}
	})
	return func() {
		stopped.Store(true)
		both.Wait()
		unix.Close(pipe[0])
	}
}
