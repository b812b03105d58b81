package readiness

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLateRing: a ring after Close, or one that was decided before Close, must not write to a new
// descriptor with the same number.
func TestLateRing(t *testing.T) {
	for _, asleep := range []bool{false, true} {
		b, err := NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		b.sleep.Store(asleep)
		fd := b.FD
		b.Close()
		successor, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if successor != fd { // another goroutine opened fd
			err = unix.Dup3(successor, fd, unix.O_CLOEXEC)
			unix.Close(successor)
			if err != nil {
				t.Fatal(err)
			}
		}
		b.Ring()
		b.Close() // a second time: the descriptor is not ours to close
		if n, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("asleep %v: the new descriptor was written to: %d, %v", asleep, n, err)
		}
		unix.Close(fd)
	}
}

// TestLateWake: wakes of a client that has left, and of a loop that has ended, do nothing.
func TestLateWake(t *testing.T) {
	l := newTestLoop(t, newTestRoom())
	c, _ := connect(t, l, "alice")
	l.drop(c, 0)
	l.Wake(c.session)
	l.WakeRoom()
	l.flush()
	l.bell.Sleep()
	l.stopping.Store(true)
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	l.bell.Sleep() // as if a ring had been decided before the loop ended
	l.Wake(c.session)
	l.WakeRoom()
	if l.member.Behind(1 << 40) {
		t.Error("a loop that has ended counts as behind")
	}
}
