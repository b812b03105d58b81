package nbio

import (
	"testing"

	"chatbench/backends/backendtest"
)

// TestLateRing: ringing a closed bell writes to no descriptor.
func TestLateRing(t *testing.T) {
	b, conn, err := newBell()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	b.ring() // the library has closed its end
	b.close()
	backendtest.Untouched(t, func() { b.ring() })
}
