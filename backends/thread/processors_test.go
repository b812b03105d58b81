package thread

import (
	"runtime"
	"testing"
)

// TestProcessors: as many as are needed, as long as any server needs them.
func TestProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	expect := func(want int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%d processors, want %d", got, want)
		}
	}
	first := raiseProcessors()
	expect(processors)
	second := raiseProcessors()
	first()
	expect(processors)
	second()
	expect(3)
	runtime.GOMAXPROCS(processors + 1)
	third := raiseProcessors()
	expect(processors + 1)
	third()
	expect(processors + 1)
}
