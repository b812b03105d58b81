package uring

import (
	"testing"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
)

// TestLateWakes: wakes after Shutdown write to no descriptor, and are not kept.
func TestLateWakes(t *testing.T) {
	if err := Backend.Runs(); err != nil {
		t.Skip(err)
	}
	backendtest.LateWakes(t, Backend, func(s backends.Server) (core.Waker, any, func() int) {
		l := s.(*server).loops[0]
		return l, &conn{loop: l, recipientIndex: -1}, func() int { return len(l.wakes) }
	})
}
