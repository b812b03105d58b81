package nbio

import (
	"testing"

	"chatbench/backends/backendtest"
)

// TestLateRing: a bell that is closed is rung at no descriptor.
func TestLateRing(t *testing.T) {
	b, conn, err := newBell()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	b.ring() // the library has closed its end, and this one is about to be
	b.close()
	backendtest.Untouched(t, b.ring)
}
