package process

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes after Shutdown write to no descriptor, and are not kept.
func TestLateWakes(t *testing.T) {
	var l *loop
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		l = s.(*server).loop
		return l, &client{gone: true}, func() int { return len(l.wakes) }
	})
	backendtest.Untouched(t, func() {
		l.bell.Sleep() // as if the loop ended while another goroutine rings
		l.bell.Ring()
	})
}
