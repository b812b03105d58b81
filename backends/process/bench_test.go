package process_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
)

// BenchmarkConnect measures the time from connect to granted, one client after the other: with a
// fork for each client, and with children that wait.
func BenchmarkConnect(b *testing.B) {
	for _, ahead := range []int{0, 50} {
		b.Run(fmt.Sprint("ahead=", ahead), func(b *testing.B) {
			r := open(b, func(_ *core.Config, cfg *backends.Config) { cfg.SpawnAhead = ahead })
			var took []time.Duration
			for b.Loop() {
				if ahead > 0 && len(children(os.Getpid())) < ahead/2 {
					b.StopTimer()
					r.eventually(func() bool { return len(children(os.Getpid())) == ahead }, "%d children wait", ahead)
					b.StartTimer()
				}
				start := time.Now()
				c := r.login(fmt.Sprint("c", len(took)))
				took = append(took, time.Since(start))
				c.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		})
	}
}
