package price

import (
	"math"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMeasure: there are as many context switches as two threads
// need on one CPU, and no descriptor is left.
func TestMeasure(t *testing.T) {
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	time.Sleep(time.Millisecond) // for its timers the runtime opens files that it keeps
	before := files()
	var from, to unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &from)
	p, err := Measure()
	unix.Getrusage(unix.RUSAGE_SELF, &to)
	if err != nil || p.Call <= 0 || p.Trip <= p.Call {
		t.Fatalf("%+v, %v", p, err)
	}
	// A thread that was preempted in favour of the other need not wait for it.
	if n := to.Nvcsw - from.Nvcsw + to.Nivcsw - from.Nivcsw; n < batches*trips {
		t.Errorf("%d switches in %d trips", n, batches*trips)
	}
	for end := time.Now().Add(10 * time.Second); files() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d files are open, before %d", files(), before)
		}
	}
}

// TestFastest: slow batches do not count.
func TestFastest(t *testing.T) {
	n := 0
	took := time.Duration(math.MaxInt64)
	got := fastest(func() {
		begun := time.Now()
		if n++; n%2 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Millisecond)
		took = min(took, time.Since(begun))
	})
	if n != batches || got < float64(took) || got > 1.5*float64(took) {
		t.Errorf("%d batches; the fastest took %v, said to be %v", n, took, time.Duration(got))
	}
}
