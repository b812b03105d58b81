package evio

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes after Shutdown write to no descriptor, and are not kept.
func TestLateWakes(t *testing.T) {
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		l := s.(*server).loop
		return l, &conn{loop: l}, func() int { return len(l.wakes) }
	})
}
