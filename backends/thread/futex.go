package thread

import (
	"errors"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Threads wait for each other in futex(2) and not in Go's scheduler. That would switch
// threads twice: a goroutine that is locked to its thread is first picked by another thread.
const (
	futexWait    = 0 | futexPrivate
	futexWake    = 1 | futexPrivate
	futexPrivate = 128
	futexSize32  = 2 // of futex_waitv
)

var errNoFutex = errors.New("thread: futex_waitv(2) is needed: Linux 5.16 or later")

// haveFutex returns an error if the kernel has no futex_waitv(2).
func haveFutex() error {
	if _, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0); errno == unix.ENOSYS || errno == unix.EPERM {
		return errNoFutex
	}
	return nil
}

// sleepOn waits while word holds value, for at most atMost; 0 is for ever. It may return
// early.
func sleepOn(word *atomic.Uint32, value uint32, atMost time.Duration) {
	var limit *unix.Timespec
	if atMost > 0 {
		t := unix.NsecToTimespec(int64(atMost))
		limit = &t
	}
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value),
		uintptr(unsafe.Pointer(limit)), 0, 0)
}

// wakeOne wakes a thread that waits for a word to change.
func wakeOne(word *atomic.Uint32) { wake(word, 1) }

// wakeAll wakes all of them, in one system call.
func wakeAll(word *atomic.Uint32) { wake(word, math.MaxInt32) }

func wake(word *atomic.Uint32, n uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, n)
}

// pair is the argument of futex_waitv(2) for two words. It has to be on the heap, since the
// kernel is given its address.
type pair [2]struct {
	value   uint64
	address uint64
	flags   uint32
	_       uint32
}

// sleepOnBoth waits while each word holds its value. It may return early.
func (p *pair) sleepOnBoth(a *atomic.Uint32, valueA uint32, b *atomic.Uint32, valueB uint32) {
	p[0].value, p[0].address, p[0].flags = uint64(valueA), uint64(uintptr(unsafe.Pointer(a))), futexSize32|futexPrivate
	p[1].value, p[1].address, p[1].flags = uint64(valueB), uint64(uintptr(unsafe.Pointer(b))), futexSize32|futexPrivate
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(p)), uintptr(len(p)), 0, 0, 0, 0)
}

// bell wakes one thread. Ringing costs a system call only if the thread sleeps.
type bell struct{ word atomic.Uint32 }

const (
	silent uint32 = iota
	rung
	asleep // the owner sleeps
)

// ring wakes the owner, now or when it next wants to sleep.
func (b *bell) ring() {
	if b.word.Load() != rung && b.word.Swap(rung) == asleep {
		wakeOne(&b.word)
	}
}

// take says whether the bell was rung, and resets it.
func (b *bell) take() bool { return b.word.Load() == rung && b.word.CompareAndSwap(rung, silent) }

// prepareSleep marks the owner as asleep. It is false if the bell was rung.
func (b *bell) prepareSleep() bool { return b.word.CompareAndSwap(silent, asleep) }

// doneSleeping ends the mark of prepareSleep.
func (b *bell) doneSleeping() { b.word.CompareAndSwap(asleep, silent) }

// wait sleeps until the bell is rung.
func (b *bell) wait() {
	for !b.take() {
		b.sleep(0)
	}
}

// waitUntil is wait up to a time. It is false if the bell was not rung by then.
func (b *bell) waitUntil(deadline time.Time) bool {
	for !b.take() {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		b.sleep(left)
	}
	return true
}

func (b *bell) sleep(atMost time.Duration) {
	if b.prepareSleep() {
		sleepOn(&b.word, asleep, atMost)
		b.doneSleeping()
	}
}
