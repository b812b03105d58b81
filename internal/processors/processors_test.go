package processors

import (
	"runtime"
	"testing"
)

func expect(t *testing.T, want int) {
	t.Helper()
	if got := runtime.GOMAXPROCS(0); got != want {
		t.Errorf("GOMAXPROCS is %d, want %d", got, want)
	}
}

// GOMAXPROCS is the greatest of the needs, as long as there are any.
func TestAtLeast(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	first := AtLeast(16)
	expect(t, 16)
	second := AtLeast(16)
	first()
	expect(t, 16)
	third := AtLeast(20)
	expect(t, 20)
	third()
	expect(t, 16)
	second()
	expect(t, 3)
	runtime.GOMAXPROCS(17)
	fourth := AtLeast(16)
	expect(t, 17)
	fourth()
	expect(t, 17)
}

// Extra is added on top, in whatever order needs begin and end.
func TestExtra(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	first := Extra(1)
	expect(t, 2)
	least := AtLeast(16)
	expect(t, 17)
	second := Extra(2)
	expect(t, 19)
	first()
	expect(t, 18)
	least()
	expect(t, 3)
	second()
	expect(t, 1)
}
