package readiness

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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

// NewDoorbell makes the doorbell of a loop that is at work.
func NewDoorbell() (*Doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Doorbell{FD: fd, note: make(chan struct{}, 1)}, nil
}

// Sleep says that the loop sleeps in its poller, or is about to.
func (b *Doorbell) Sleep() { b.sleep.Store(polling) }

// Awake says that the loop is at work.
func (b *Doorbell) Awake() { b.sleep.Store(awake) }

var one = [8]byte{1}

// Ring wakes the loop. What there is to do must be noted before.
func (b *Doorbell) Ring() {
	switch {
	case b.sleep.Load() == awake:
	case b.sleep.CompareAndSwap(polling, awake):
		b.mu.Lock()
		if !b.closed {
			// It can fail only when the counter is full, and then it rings anyway.
			_, _ = unix.Write(b.FD, one[:])
		}
		b.mu.Unlock()
	default:
		b.endPause()
	}
}

// endPause wakes the loop if it pauses, and not if it sleeps in its poller.
func (b *Doorbell) endPause() {
	if b.sleep.Load() == pausing && b.sleep.CompareAndSwap(pausing, awake) {
		select {
		case b.note <- struct{}{}:
		default: // the ring of an earlier pause, which had ended by itself
		}
	}
}

// pause sleeps until a ring or for so long, and not at all unless idle says
// that there is nothing to do. It may end early.
func (b *Doorbell) pause(most time.Duration, idle func() bool) {
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
