package readiness

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// doorbell wakes a loop that sleeps in its poller, and costs nothing while it
// is at work: only a sleeping loop is rung at, with one write.
//
// A ring may come late, even after the loop has ended: whoever wakes a loop
// does so after it has let go of the room. It never reaches a descriptor that
// somebody else has opened since.
type doorbell struct {
	fd    int // an eventfd
	sleep atomic.Int32
	note  chan struct{} // ends a pause; holds one ring
	timer *time.Timer   // of a pause

	mu     sync.Mutex // taken to ring at a loop that sleeps, and to close
	closed bool
}

// Where the loop is.
const (
	awake   = iota
	polling // asleep in its poller, or about to be
	pausing // asleep between two reads, or about to be
)

func newDoorbell() (*doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return &doorbell{fd: fd, note: make(chan struct{}, 1)}, err
}

var one = [8]byte{1}

// ring wakes the loop. Any goroutine; what there is to do must be noted before.
func (b *doorbell) ring() {
	switch {
	case b.sleep.Load() == awake:
	case b.sleep.CompareAndSwap(polling, awake):
		b.mu.Lock()
		if !b.closed {
			// It can fail only when the counter is full, and then it rings anyway.
			_, _ = unix.Write(b.fd, one[:])
		}
		b.mu.Unlock()
	default:
		b.endPause()
	}
}

// endPause wakes the loop if it pauses, and not if it sleeps in its poller.
func (b *doorbell) endPause() {
	if b.sleep.Load() == pausing && b.sleep.CompareAndSwap(pausing, awake) {
		select {
		case b.note <- struct{}{}:
		default: // the ring of an earlier pause, which had ended by itself
		}
	}
}

// pause sleeps until a ring or for so long, and not at all unless idle says
// that there is nothing to do. It may end early.
func (b *doorbell) pause(most time.Duration, idle func() bool) {
	b.sleep.Store(pausing)
	if idle() {
		if b.timer == nil {
			b.timer = time.NewTimer(most)
		} else {
			b.timer.Reset(most)
		}
		select {
		case <-b.note:
		case <-b.timer.C:
		}
		b.timer.Stop()
	}
	b.sleep.Store(awake)
}

// clear takes the ring back; the loop looks at its work afterwards.
func (b *doorbell) clear() {
	var count [8]byte
	_, _ = unix.Read(b.fd, count[:])
}

func (b *doorbell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		_ = unix.Close(b.fd)
	}
}
