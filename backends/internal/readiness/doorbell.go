package readiness

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Doorbell wakes a loop that sleeps in its poller, with one write to an eventfd. While the loop is
// awake, ringing costs no system call. The loop calls Sleep before it checks for work for the last
// time, and Awake when it has slept.
//
// Any goroutine may call Ring, even after Close, because wakes of the room may come late. It never
// writes to a descriptor that was opened after Close with the same number.
type Doorbell struct {
	FD    int // an eventfd that the loop's poller has to watch
	sleep atomic.Bool

	mu     sync.Mutex // held to ring a loop that sleeps, and to close
	closed bool
}

// NewDoorbell makes the doorbell of a loop that is awake.
func NewDoorbell() (*Doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Doorbell{FD: fd}, nil
}

// Sleep says that the loop is about to sleep in its poller.
func (b *Doorbell) Sleep() { b.sleep.Store(true) }

// Awake says that the loop is awake.
func (b *Doorbell) Awake() { b.sleep.Store(false) }

var one = [8]byte{1}

// Ring wakes the loop. The caller has queued the work for it before.
func (b *Doorbell) Ring() {
	if !b.sleep.Load() || !b.sleep.CompareAndSwap(true, false) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		// It fails only if the counter is full, and then the loop wakes anyway.
		_, _ = unix.Write(b.FD, one[:])
	}
}

// Clear resets the eventfd. The loop checks for work afterwards.
func (b *Doorbell) Clear() {
	var count [8]byte
	_, _ = unix.Read(b.FD, count[:])
}

// Close closes the descriptor. It may be called again.
func (b *Doorbell) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		_ = unix.Close(b.FD)
	}
}
