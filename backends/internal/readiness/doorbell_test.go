package readiness

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLateRing: a ring after the loop has ended, or between the ringer's
// decision and its write, must not reach whoever has the descriptor by then.
func TestLateRing(t *testing.T) {
	for _, asleep := range []bool{false, true} {
		b, err := NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		b.sleep.Store(asleep)
		fd := b.FD
		b.Close()
		heir, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if heir != fd { // somebody else was quicker
			err = unix.Dup3(heir, fd, unix.O_CLOEXEC)
			unix.Close(heir)
			if err != nil {
				t.Fatal(err)
			}
		}
		b.Ring()
		b.Close() // a second time: the descriptor is not ours to close
		if n, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("asleep %v: the successor of the descriptor was rung at: %d, %v", asleep, n, err)
		}
		unix.Close(fd)
	}
}

// TestLateWake: who is woken when the loop has ended, and who has left, harms
// nobody.
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
	l.bell.Sleep() // as if the ringer had looked before the loop ended
	l.Wake(c.session)
	l.WakeRoom()
	if l.member.Behind(1 << 40) {
		t.Error("a loop that has ended counts as behind")
	}
}
