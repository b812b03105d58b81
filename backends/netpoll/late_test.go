package netpoll

import (
	"testing"

	"chatbench/backends/backendtest"
)

// TestLateRing: a gate that is closed is rung at no descriptor.
func TestLateRing(t *testing.T) {
	g, err := newGate(nil)
	if err != nil {
		t.Fatal(err)
	}
	g.ring()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	backendtest.Untouched(t, g.ring)
}
