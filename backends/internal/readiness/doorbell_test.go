package readiness

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLateRing: a ring after the loop has ended, or between the ringer's
// decision and its write, must not reach whoever has the descriptor by then.
func TestLateRing(t *testing.T) {
	for _, place := range []int32{awake, polling, pausing} {
		b, err := NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		b.sleep.Store(place)
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
			t.Errorf("at %d: the successor of the descriptor was rung at: %d, %v", place, n, err)
		}
		unix.Close(fd)
	}
}

// TestPause: a ring ends a pause, also one that comes before the loop sleeps;
// a pause that nobody ends is over after its time.
func TestPause(t *testing.T) {
	b, err := NewDoorbell()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const long = 20 * time.Second
	began := time.Now()
	b.pause(long, func() bool { return false })
	b.pause(long, func() bool { b.Ring(); return true })
	b.pause(long, func() bool { time.AfterFunc(time.Millisecond, b.endPause); return true })
	b.pause(time.Millisecond, func() bool { return true })
	b.pause(time.Millisecond, func() bool { return true })
	if took := time.Since(began); took >= long {
		t.Errorf("took %v", took)
	}
	b.sleep.Store(polling)
	b.endPause()
	if b.sleep.Load() != polling {
		t.Error("the end of a pause woke a loop that sleeps in its poller")
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
	if l.behind(1 << 40) {
		t.Error("a loop that has ended counts as behind")
	}
}
