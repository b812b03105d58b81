package goroutine

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes after Shutdown write to no descriptor, and are not kept.
func TestLateWakes(t *testing.T) {
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		r := s.(*server).rounds
		return r, &conn{server: s.(*server)}, func() int { return len(r.wakes) }
	})
}
