package pin

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThread(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good
		var before, after unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			t.Error(err)
			return
		}
		last := 0
		for cpu := range 1024 {
			if before.IsSet(cpu) {
				last = cpu
			}
		}
		if err := Thread(nil); err != nil {
			t.Error(err)
		}
		if err := Thread([]int{1023}); err == nil && !before.IsSet(1023) {
			t.Error("a CPU that is not there was taken")
		}
		if err := Thread([]int{last}); err != nil {
			t.Error(err)
		}
		if err := unix.SchedGetaffinity(0, &after); err != nil || after.Count() != 1 || !after.IsSet(last) {
			t.Errorf("pinned to %d CPUs, %v", after.Count(), err)
		}
	}()
	<-done
}
