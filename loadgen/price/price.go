// Package price measures what a cheap system call and a context switch cost on
// the CPUs that this process may use. A caller that counts them learns from it
// what counting adds: it measures once in a process that is counted, and once in one that is not.
//
// It does not know what is counted, or how. Measure may be called from any
// goroutine, one call at a time; it needs some ten milliseconds and a CPU to itself.
package price

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// How much is done: this number of batches, of which the fastest counts, because other
// processes on the CPU can only make one slower. A batch is shorter than a time slice.
const (
	batches = 20
	calls   = 1000 // getppid(2), in a batch
	trips   = 100  // of an octet between two threads and back, in a batch
)

// In a trip each of the two threads writes once and reads once: if they share a CPU
// they change places twice.
const (
	SwitchesPerTrip = 2
	CallsPerTrip    = 4
)

// Price is what was measured, in nanoseconds.
type Price struct {
	Call float64 `json:"call_ns"` // getppid(2)
	Trip float64 `json:"trip_ns"` // SwitchesPerTrip context switches and CallsPerTrip system calls
}

// Measure measures both. The threads share a CPU only if the process may use just
// one.
func Measure() (p Price, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Two threads wait for each other in the kernel: with one Go processor
	// they would hand it to each other too.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	p.Call = fastest(func() {
		for range calls {
			unix.Getppid()
		}
	}) / calls
	there, back, err := pipes()
	if err != nil {
		return p, err
	}
	defer closeAll(back[0], there[1])
	go func() { // ends when the other end of its pipe is closed
		runtime.LockOSThread()
		defer closeAll(there[0], back[1])
		var one [1]byte
		for {
			if n, _ := unix.Read(there[0], one[:]); n != 1 {
				return
			}
			unix.Write(back[1], one[:])
		}
	}()
	var one [1]byte
	p.Trip = fastest(func() {
		for range trips {
			unix.Write(there[1], one[:])
			unix.Read(back[0], one[:])
		}
	}) / trips
	return p, nil
}

func pipes() (there, back [2]int, err error) {
	if err := unix.Pipe2(there[:], unix.O_CLOEXEC); err != nil {
		return there, back, fmt.Errorf("price: pipe2: %w", err)
	}
	if err := unix.Pipe2(back[:], unix.O_CLOEXEC); err != nil {
		closeAll(there[:]...)
		return there, back, fmt.Errorf("price: pipe2: %w", err)
	}
	return there, back, nil
}

func closeAll(fds ...int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// fastest returns the time of the fastest batch, in nanoseconds.
func fastest(batch func()) float64 {
	least := time.Duration(math.MaxInt64)
	for range batches {
		begun := time.Now()
		batch()
		least = min(least, time.Since(begun))
	}
	return float64(least)
}
