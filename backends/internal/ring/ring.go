// Package ring is io_uring(7) as a loop on one thread needs it: a ring of
// operations on sockets, with completions that come in when the loop asks for
// them, and with buffers that the kernel takes when something has arrived.
//
// A Ring belongs to the thread that made it (IORING_SETUP_SINGLE_ISSUER), so its
// goroutine has to be locked to that thread (runtime.LockOSThread) from New to Close.
// A call from a thread that has no ring fails and says so; one from a thread with a
// ring of its own would reach that one, and is not found out. What operations do after
// they were submitted, they do within Submit and Wait (IORING_SETUP_DEFER_TASKRUN):
// no memory is read or written by the kernel at any other time.
//
// A Ring of NewUnbound belongs to no thread. Any goroutine may use it, one at a time.
// It is for operations that are complete when Submit returns, as SendNow is.
//
// It refuses to know what its operations are for, and to keep memory alive for
// them: whoever sends octets keeps them as they are until the completion.
//
// It needs Linux 6.1.
package ring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ring is one ring. See the package for who may use it.
type Ring struct {
	fd         int
	registered uint32 // what the thread knows fd by; registerAnyFreeOffset: nothing
	thread     int    // that made it; 0: any thread may use it
	err        error  // of the kernel; nothing can be submitted any more
	tries      int    // in turn for which the kernel had no memory

	memory  []byte // of both rings
	entries []byte // of submissions

	sqHead  *uint32 // the kernel's: what it has taken
	sqTail  *uint32 // what the kernel may take
	sqes    []sqe
	tail    uint32 // what is filled in; published by submitted
	discard sqe    // takes what can be submitted nowhere

	cqHead *uint32
	cqTail *uint32 // the kernel's
	cqes   []CQE
	head   uint32

	wait    eventsArg // these are the kernel's while it waits
	timeout timespec
}

// ErrThread is returned when a ring is used by another thread than the one that made it.
var ErrThread = errors.New("ring: used by another thread than the one that made it; lock its goroutine to a thread")

// pending is how many operations are filled in and not taken by the kernel.
func (r *Ring) pending() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// next is an empty submission to fill in. If there is no room for one more, those
// that are filled in are submitted.
func (r *Ring) next() *sqe {
	if r.pending() == uint32(len(r.sqes)) && r.Submit() != nil {
		return &r.discard
	}
	s := &r.sqes[r.tail&uint32(len(r.sqes)-1)]
	r.tail++
	*s = sqe{}
	return s
}

// memoryTries is how often in turn the kernel may have no memory for an operation.
// Between two tries is a millisecond.
const memoryTries = 1000

// Submit hands the operations that were filled in to the kernel. Those that can be
// done at once are, and have their completions when it returns. It does not wait and
// keeps the processor (the runtime's P), as a system call on a non-blocking socket may.
//
// An error is for ever, and what was filled in is lost.
func (r *Ring) Submit() error {
	for r.err == nil && r.pending() > 0 {
		r.judge(r.enter(0, 0, nil, true))
	}
	return r.err
}

// Wait submits as Submit does, and waits until there is a completion, for timeout at
// most; a negative timeout waits for ever, 0 does not wait. It returns early after a
// signal. With keep it keeps the processor meanwhile: see readiness.Call for why that
// is right for a brief wait and for no other.
func (r *Ring) Wait(timeout time.Duration, keep bool) error {
	if r.err != nil {
		return r.err
	}
	least := uint32(1)
	r.wait.timeout = 0
	switch {
	case timeout == 0:
		least = 0
	case timeout > 0:
		r.timeout = timespec{int64(timeout / time.Second), int64(timeout % time.Second)}
		r.wait.timeout = uint64(uintptr(unsafe.Pointer(&r.timeout)))
	}
	r.judge(r.enter(least, enterGetEvents|enterExtArg, &r.wait, keep))
	return r.err
}

// enter is io_uring_enter(2).
func (r *Ring) enter(least uint32, flags uintptr, arg *eventsArg, keep bool) unix.Errno {
	atomic.StoreUint32(r.sqTail, r.tail)
	fd := uintptr(r.fd)
	if r.registered != registerAnyFreeOffset {
		fd, flags = uintptr(r.registered), flags|enterRegisteredRing
	}
	size := uintptr(0)
	if arg != nil {
		size = unsafe.Sizeof(*arg)
	}
	var errno unix.Errno
	if keep {
		_, _, errno = syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, fd, uintptr(r.pending()), uintptr(least), flags, uintptr(unsafe.Pointer(arg)), size)
	} else {
		_, _, errno = syscall.Syscall6(unix.SYS_IO_URING_ENTER, fd, uintptr(r.pending()), uintptr(least), flags, uintptr(unsafe.Pointer(arg)), size)
	}
	return errno
}

// judge decides whether the ring can go on after a call that gave errno.
func (r *Ring) judge(errno unix.Errno) {
	switch {
	case errno == 0, errno == unix.ETIME, errno == unix.EINTR:
		r.tries = 0
	case r.thread != 0 && unix.Gettid() != r.thread:
		r.err = ErrThread
	case errno == unix.EAGAIN && r.tries < memoryTries:
		r.tries++
		time.Sleep(time.Millisecond)
	case errno == unix.EBADR:
		r.err = fmt.Errorf("ring: the kernel had no memory for completions, and some are lost: %w", errno)
	default:
		r.err = fmt.Errorf("ring: io_uring_enter: %w", errno)
	}
}

// Ready says whether there are completions.
func (r *Ring) Ready() bool { return atomic.LoadUint32(r.cqTail) != r.head }

// Reap takes completions, as many as there are and fit, in their order.
func (r *Ring) Reap(into []CQE) int {
	n := min(int(atomic.LoadUint32(r.cqTail)-r.head), len(into))
	for i := range into[:n] {
		into[i] = r.cqes[r.head&uint32(len(r.cqes)-1)]
		r.head++
	}
	if n > 0 {
		atomic.StoreUint32(r.cqHead, r.head)
	}
	return n
}

// Err is the error of a completion; 0: there is none.
func (c *CQE) Err() unix.Errno {
	if c.Res >= 0 {
		return 0
	}
	return unix.Errno(-c.Res)
}

// More says that the operation goes on and has further completions.
func (c *CQE) More() bool { return c.Flags&cqeMore != 0 }

// Buffer is the buffer that the kernel took for the completion.
func (c *CQE) Buffer() (id uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&cqeBuffer != 0
}
