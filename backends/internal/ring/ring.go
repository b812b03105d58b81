// Package ring is io_uring(7) as an event loop on one thread needs it: operations on sockets,
// completions that come when the loop asks for them, and buffers that the kernel fills with
// input.
//
// A Ring belongs to the thread that made it (IORING_SETUP_SINGLE_ISSUER), so its goroutine has to be
// locked to that thread (runtime.LockOSThread) from New to Close. A call from a thread without a ring
// fails with ErrThread. A call from a thread with a ring of its own would reach that ring, and is not
// detected. The kernel works on submitted operations only within Submit and Wait
// (IORING_SETUP_DEFER_TASKRUN): at no other time does it read or write memory.
//
// A Ring of NewUnbound belongs to no thread. Any goroutine may use it, one at a time. It is for
// operations that are complete when Submit returns, as SendNow is.
//
// The package does not know what its operations are for, and keeps no memory alive for them: the
// caller of Send keeps the octets unchanged until the completion.
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

// Ring is one ring. See the package comment for who may use it.
type Ring struct {
	fd            int
	registered    uint32 // index of fd as a registered ring; registerAnyFreeOffset: none
	thread        int    // the one that made it; 0: any thread may use it
	err           error  // set once the ring cannot be used any more
	memoryRetries int    // how often in a row the kernel had no memory

	memory  []byte // of both rings
	entries []byte // of submissions

	sqHead  *uint32 // the kernel's: up to where it has taken submissions
	sqTail  *uint32 // up to where it may take them
	sqes    []sqe
	tail    uint32 // up to where they are filled in; enter stores it in sqTail
	discard sqe    // filled in when nothing can be submitted any more

	cqHead *uint32
	cqTail *uint32 // the kernel's
	cqes   []CQE
	head   uint32

	wait    eventsArg // the kernel reads these two while it waits
	timeout timespec
}

// ErrThread is returned when a ring is used by another thread than the one that made it.
var ErrThread = errors.New("ring: used by another thread than the one that made it; lock its goroutine to a thread")

// pending is how many operations are filled in and not taken by the kernel.
func (r *Ring) pending() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// next returns an empty submission to fill in. If there is no room, it first submits those that are
// filled in.
func (r *Ring) next() *sqe {
	if r.pending() == uint32(len(r.sqes)) && r.Submit() != nil {
		return &r.discard
	}
	s := &r.sqes[r.tail&uint32(len(r.sqes)-1)]
	r.tail++
	*s = sqe{}
	return s
}

// maxMemoryRetries is how often in a row the kernel may have no memory for an operation, a millisecond
// apart.
const maxMemoryRetries = 1000

// Submit submits the operations that are filled in. Operations that can be done at once have their
// completions when it returns. It does not block, so it keeps the processor (the runtime's P).
//
// After an error the ring cannot be used any more, and what was filled in is lost.
func (r *Ring) Submit() error {
	for r.err == nil && r.pending() > 0 {
		r.checkErrno(r.enter(0, 0, nil, true))
	}
	return r.err
}

// Wait submits as Submit does, and waits until there is a completion, but no longer than timeout; a
// negative timeout waits for ever, 0 does not wait. It returns early after a signal. With keep it
// keeps the processor meanwhile, which is right only for brief waits: see readiness.Call.
func (r *Ring) Wait(timeout time.Duration, keep bool) error {
	if r.err != nil {
		return r.err
	}
	minComplete := uint32(1)
	r.wait.timeout = 0
	switch {
	case timeout == 0:
		minComplete = 0
	case timeout > 0:
		r.timeout = timespec{int64(timeout / time.Second), int64(timeout % time.Second)}
		r.wait.timeout = uint64(uintptr(unsafe.Pointer(&r.timeout)))
	}
	r.checkErrno(r.enter(minComplete, enterGetEvents|enterExtArg, &r.wait, keep))
	return r.err
}

// enter is io_uring_enter(2).
func (r *Ring) enter(minComplete uint32, flags uintptr, arg *eventsArg, keep bool) unix.Errno {
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
		_, _, errno = syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, fd, uintptr(r.pending()), uintptr(minComplete), flags, uintptr(unsafe.Pointer(arg)), size)
	} else {
		_, _, errno = syscall.Syscall6(unix.SYS_IO_URING_ENTER, fd, uintptr(r.pending()), uintptr(minComplete), flags, uintptr(unsafe.Pointer(arg)), size)
	}
	return errno
}

// checkErrno sets r.err if the ring cannot be used any more after a call that returned errno.
func (r *Ring) checkErrno(errno unix.Errno) {
	switch {
	case errno == 0, errno == unix.ETIME, errno == unix.EINTR:
		r.memoryRetries = 0
	case r.thread != 0 && unix.Gettid() != r.thread:
		r.err = ErrThread
	case errno == unix.EAGAIN && r.memoryRetries < maxMemoryRetries:
		r.memoryRetries++
		time.Sleep(time.Millisecond)
	case errno == unix.EBADR:
		r.err = fmt.Errorf("ring: completions are lost, because the kernel had no memory for them: %w", errno)
	default:
		r.err = fmt.Errorf("ring: io_uring_enter: %w", errno)
	}
}

// Ready says whether there are completions.
func (r *Ring) Ready() bool { return atomic.LoadUint32(r.cqTail) != r.head }

// Reap takes completions in order, as many as there are and fit, and returns their number.
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

// Err is the error of a completion, or 0.
func (c *CQE) Err() unix.Errno {
	if c.Res >= 0 {
		return 0
	}
	return unix.Errno(-c.Res)
}

// More says that the operation will have further completions.
func (c *CQE) More() bool { return c.Flags&cqeMore != 0 }

// Buffer is the buffer that the kernel has filled, if any.
func (c *CQE) Buffer() (id uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&cqeBuffer != 0
}
