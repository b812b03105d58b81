package all_test

import (
	"flag"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/backends/backendtest"
)

var everyCoalescing = flag.Bool("every-coalescing", false, "TestConformanceCoalescing runs the whole suite for every transport that coalesces, not a part for three")

// coalescing is the settings that are tested.
var coalescing = []backends.Coalesce{backends.Coalesce(time.Millisecond), backends.CoalesceAuto}

// TestConformanceCoalescing: transports that can let output wait pass the suite when it waits.
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
