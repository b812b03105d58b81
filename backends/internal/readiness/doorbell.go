package readiness

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// doorbell wakes a loop that sleeps in its poller, and costs nothing while it
// is at work: only a sleeping loop is rung at, with one write.
type doorbell struct {
	fd       int // an eventfd
	sleeping atomic.Bool
}

func newDoorbell() (*doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return &doorbell{fd: fd}, err
}

var one = [8]byte{1}

// ring wakes the loop. Any goroutine; what there is to do must be noted before.
func (b *doorbell) ring() {
	if b.sleeping.Load() && b.sleeping.CompareAndSwap(true, false) {
		// It can fail only when the counter is full, and then it rings anyway.
		_, _ = unix.Write(b.fd, one[:])
	}
}

// clear takes the ring back; the loop looks at its work afterwards.
func (b *doorbell) clear() {
	var count [8]byte
	_, _ = unix.Read(b.fd, count[:])
}

func (b *doorbell) close() { _ = unix.Close(b.fd) }
