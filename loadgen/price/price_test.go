package price

import (
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
	before := files()
	var from, to unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &from)
	p, err := Measure()
	unix.Getrusage(unix.RUSAGE_SELF, &to)
	if err != nil || p.Call <= 0 || p.Trip <= p.Call {
		t.Fatalf("%+v, %v", p, err)
	}
	if n := to.Nvcsw - from.Nvcsw; n < batches*trips {
		t.Errorf("%d voluntary switches in %d trips", n, batches*trips)
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
	got := fastest(func() {
		if n++; n%2 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Millisecond)
	})
	if n != batches || got < 1e6 || got >= 11e6 {
		t.Errorf("%d batches, the fastest took %v", n, time.Duration(got))
	}
}
