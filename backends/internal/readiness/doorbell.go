package readiness

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Doorbell wakes a loop that sleeps in its poller, and costs nothing while the loop
// is at work: only a sleeping loop is rung at, with one write. The loop says Sleep
// before it looks for work for the last time, and Awake when it has slept.
//
// Any goroutine may call Ring, also after Close: the room's wakes may come late.
// It never reaches a descriptor that somebody else has opened since.
type Doorbell struct {
	FD    int // an eventfd, for the loop's poller to watch
	sleep atomic.Bool

	mu     sync.Mutex // taken to ring at a loop that sleeps, and to close
	closed bool
}

// NewDoorbell makes the doorbell of a loop that is at work.
func NewDoorbell() (*Doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Doorbell{FD: fd}, nil
}

// Sleep says that the loop sleeps in its poller, or is about to.
func (b *Doorbell) Sleep() { b.sleep.Store(true) }

// Awake says that the loop is at work.
func (b *Doorbell) Awake() { b.sleep.Store(false) }

var one = [8]byte{1}

// Ring wakes the loop. What there is to do must be noted before.
func (b *Doorbell) Ring() {
	if !b.sleep.Load() || !b.sleep.CompareAndSwap(true, false) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		// It can fail only when the counter is full, and then it rings anyway.
		_, _ = unix.Write(b.FD, one[:])
	}
}

// Clear takes the ring back; the loop looks at its work afterwards.
func (b *Doorbell) Clear() {
	var count [8]byte
	_, _ = unix.Read(b.FD, count[:])
}

// Close gives up the descriptor. It may be called again.
func (b *Doorbell) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		_ = unix.Close(b.FD)
	}
}
