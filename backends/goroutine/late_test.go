package goroutine

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes that come when Shutdown has returned write to nobody's
// descriptor and are kept nowhere.
func TestLateWakes(t *testing.T) {
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		r := s.(*server).rounds
		return r, &conn{server: s.(*server)}, func() int { return len(r.mail) }
	})
}
