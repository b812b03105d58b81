package process

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes that come when Shutdown has returned write to nobody's
// descriptor and are kept nowhere.
func TestLateWakes(t *testing.T) {
	var l *loop
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		l = s.(*server).loop
		return l, &client{gone: true}, func() int { return len(l.mail) }
	})
	backendtest.Untouched(t, func() {
		l.bell.Sleep() // as when the loop ends while somebody rings
		l.bell.Ring()
	})
}
