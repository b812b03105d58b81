// Package processors raises GOMAXPROCS, the number of threads that run Go code at a time,
// while something needs more of them.
//
// GOMAXPROCS is one for the process, so all needs are counted together. Any goroutine may call
// the functions. Each change stops the world for some tens of microseconds, so call them
// rarely.
package processors

import (
	"os"
	"runtime"
	"slices"
	"sync"
)

// needs is the calls of AtLeast and Extra whose lower was not called yet.
var needs struct {
	sync.Mutex
	before int   // GOMAXPROCS without them
	least  []int // arguments of AtLeast
	extra  int   // sum of the arguments of Extra
}

// AtLeast makes GOMAXPROCS at least n until lower is called, exactly once.
func AtLeast(n int) (lower func()) {
	change(func() { needs.least = append(needs.least, n) })
	return func() {
		change(func() {
			i := slices.Index(needs.least, n)
			needs.least = slices.Delete(needs.least, i, i+1)
		})
	}
}

// Extra adds n to GOMAXPROCS, on top of what others need, until lower is called, exactly once.
func Extra(n int) (lower func()) {
	change(func() { needs.extra += n })
	return func() { change(func() { needs.extra -= n }) }
}

// change changes the needs and then sets GOMAXPROCS accordingly.
func change(alter func()) {
	needs.Lock()
	defer needs.Unlock()
	if !needed() {
		needs.before = runtime.GOMAXPROCS(0)
	}
	alter()
	want := needs.before
	for _, n := range needs.least {
		want = max(want, n)
	}
	switch want += needs.extra; {
	case want == runtime.GOMAXPROCS(0):
	case needed():
		runtime.GOMAXPROCS(want)
	default:
		restore(want)
	}
}

func needed() bool { return len(needs.least) > 0 || needs.extra > 0 }

// restore sets GOMAXPROCS back. The runtime follows the CPU limit of its cgroup
// only until somebody calls runtime.GOMAXPROCS; if n is what it would choose by
// itself, it follows the limit again.
func restore(n int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
	}
	if runtime.GOMAXPROCS(0) != n {
		runtime.GOMAXPROCS(n)
	}
}
