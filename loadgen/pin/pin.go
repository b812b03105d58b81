// Package pin pins a thread to CPUs.
//
// It pins only the calling thread, and cannot undo it: lock the
// goroutine to its thread first, and let the thread end with the goroutine.
package pin

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Thread lets the calling thread run on these CPUs only; on any CPU if none is given.
func Thread(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin: no thread may run on CPU %v here: %w", cpus, err)
	}
	return nil
}
