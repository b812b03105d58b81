package all_test

import (
	"flag"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/backends/backendtest"
)

var everyCoalescing = flag.Bool("every-coalescing", false, "TestConformanceCoalescing holds every transport that lets output wait to all of the suite, not three to a part")

// coalescing is the settings that are tried.
var coalescing = []backends.Coalesce{backends.Coalesce(time.Millisecond), backends.CoalesceAuto}

// TestConformanceCoalescing: what the suite asks of transports holds for those that let
// output wait too.
func TestConformanceCoalescing(t *testing.T) {
	some := map[string]bool{"epoll": true, "uring": true, "goroutine": true}
	for _, b := range all.All() {
		if !b.Coalesces || !some[b.Name] && !*everyCoalescing {
			continue
		}
		for _, c := range coalescing {
			t.Run(b.Name+"/"+c.String(), func(t *testing.T) { backendtest.RunCoalescing(t, b, c, *everyCoalescing) })
		}
	}
}
