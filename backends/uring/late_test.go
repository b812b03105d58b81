package uring

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes that come when Shutdown has returned write to nobody's
// descriptor and are kept nowhere.
func TestLateWakes(t *testing.T) {
	if err := Backend.Runs(); err != nil {
		t.Skip(err)
	}
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		l := s.(*server).loops[0]
		return l, &conn{loop: l, seat: -1}, func() int { return len(l.mail) }
	})
}
