package netpoll

import (
	"testing"

	"chatbench/backends/backendtest"
)

// TestLateRing: ringing a closed listener writes to no descriptor.
func TestLateRing(t *testing.T) {
	l, err := newListener(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.ring()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	backendtest.Untouched(t, func() { l.ring() })
}
