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
	var r *rounds
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any) {
		r = s.(*server).rounds
		return r, &conn{server: s.(*server)}
	})
	if len(r.mail) > 0 {
		t.Errorf("%d notes are kept that nobody reads", len(r.mail))
	}
}
