// Package readiness is the event loop of all transports that wait until descriptors are ready. A
// turn reads all input that is there, then writes to each client, once, everything it is behind.
// What differs between epoll, poll, select and a busy loop is the Poller, of five functions.
//
// The package does not know how a Poller waits, and does not serve a connection from two threads.
// Everything of a loop belongs to the loop's own goroutine, except the methods of core.Waker and of
// the server, which any goroutine may call.
package readiness

import (
	"time"

	"golang.org/x/sys/unix"
)

// ID names a descriptor registered with a Poller: the descriptor in the low half and a generation in
// the high half, so that an old event is never taken for one of a new connection with the same
// descriptor.
type ID uint64

func newID(fd int, generation uint32) ID { return ID(generation)<<32 | ID(uint32(fd)) }

// FD is the descriptor of an ID.
func (id ID) FD() int { return int(uint32(id)) }

// Event says what a descriptor is ready for. An error or a hang-up counts as readable: the read that
// follows reports it.
type Event struct {
	ID       ID
	Readable bool
	Writable bool
}

// Poller waits for descriptors. Only the loop's goroutine calls it.
type Poller interface {
	// Add registers a descriptor and watches it for reading. It fails if the poller cannot watch
	// it, or has it already.
	Add(id ID) error
	// Want sets whether a descriptor is watched for reading and for writing. If it is watched for
	// neither, there may still be an event if its connection is broken. It fails if the poller
	// does not have the descriptor.
	Want(id ID, read, write bool) error
	// Remove stops watching a descriptor. It does nothing if the poller does not have it. The
	// caller closes the descriptor afterwards.
	Remove(id ID)
	// Wait waits until descriptors are ready, up to timeout, and fills events; a negative timeout
	// waits for ever. It returns how many events there are, 0 after the timeout or a signal. It
	// waits in Call, to which it passes brief.
	Wait(events []Event, timeout time.Duration, brief bool) (int, error)
	// Close closes the poller.
	Close() error
}

// Timespec converts a timeout for ppoll and pselect. It fills and returns t, which is a field of the
// Poller, or returns nil for a wait without end.
func Timespec(t *unix.Timespec, timeout time.Duration) *unix.Timespec {
	if timeout < 0 {
		return nil
	}
	*t = unix.NsecToTimespec(int64(timeout))
	return t
}
