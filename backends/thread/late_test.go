package thread

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes after Shutdown write to no descriptor.
func TestLateWakes(t *testing.T) {
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		return s.(*server).rounds, &conn{server: s.(*server)}, func() int { return 0 } // a wake is a flag of the conn
	})
}
