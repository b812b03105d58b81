// Package readiness is the one loop behind every transport that waits until
// descriptors are ready: a turn takes all input that is there, then writes to
// each client, once, all it is behind. What differs between epoll, poll, select
// and a busy loop is a Poller of a few functions.
//
// It refuses to know how a Poller waits, and to serve a connection from two
// threads: everything of a loop belongs to its own goroutine but the
// core.Waker's methods and Shutdown, which any goroutine may call.
package readiness

import (
	"time"

	"golang.org/x/sys/unix"
)

// ID names a descriptor registered with a Poller: the descriptor in the low
// half and a generation in the high half, so that an event of a connection
// that is gone is never taken for one of its successor.
type ID uint64

func newID(fd int, generation uint32) ID { return ID(generation)<<32 | ID(uint32(fd)) }

// FD is the descriptor of an ID.
func (id ID) FD() int { return int(uint32(id)) }

// Event says what a descriptor is ready for. An error or a hang-up counts as
// readable: the read that follows tells which.
type Event struct {
	ID       ID
	Readable bool
	Writable bool
}

// Poller waits for descriptors. Only the loop's goroutine calls it.
type Poller interface {
	// Add registers a descriptor for reading. It fails if the poller cannot
	// watch one more, or not this one, or has the descriptor already.
	Add(id ID) error
	// Want sets whether the descriptor is watched for reading and for writing.
	// One that is watched for neither is told of at most if its connection is
	// broken. It fails if the poller does not have the descriptor.
	Want(id ID, read, write bool) error
	// Remove forgets the descriptor. It does nothing if the poller does not
	// have it. The caller closes the descriptor afterwards.
	Remove(id ID)
	// Wait fills events with what is ready, waiting up to timeout; a negative
	// timeout waits for ever. It returns 0 after the timeout or a signal. It
	// waits in Call, which takes brief.
	Wait(events []Event, timeout time.Duration, brief bool) (int, error)
	// Close gives up what the poller holds.
	Close() error
}

// Timespec is a timeout as ppoll and pselect take it; it lives in the Poller.
// It is nil for a wait without end.
func Timespec(t *unix.Timespec, timeout time.Duration) *unix.Timespec {
	if timeout < 0 {
		return nil
	}
	*t = unix.NsecToTimespec(int64(timeout))
	return t
}
