package process

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller is a level-triggered epoll. An event names its descriptor and a generation, so that an
// old event is never taken for one of a new descriptor with the same number.
type poller struct {
	fd         int
	raw        [512]unix.EpollEvent
	watched    []watch // by descriptor
	generation int32   // generation of the newest watch
}

// watch is a watched descriptor.
type watch struct {
	generation int32
	call       func() // called when it is ready; nil: it is not watched
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("process: epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

// add makes handle call a function when fd is ready for one of the events.
func (p *poller) add(fd int, events uint32, call func()) error {
	p.generation++
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.generation}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return err
	}
	for fd >= len(p.watched) {
		p.watched = append(p.watched, make([]watch, len(p.watched)+64)...)
	}
	p.watched[fd] = watch{p.generation, call}
	return nil
}

// modify changes what a descriptor is watched for.
func (p *poller) modify(fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.watched[fd].generation}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// remove stops watching a descriptor. Closing it would not be enough: a child that is being
// forked may have it open for a moment.
func (p *poller) remove(fd int) {
	if fd < len(p.watched) && p.watched[fd].call != nil {
		p.watched[fd] = watch{}
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// wait sleeps until something is ready, or for timeout; negative: for ever.
// For brief see readiness.Call.
func (p *poller) wait(timeout time.Duration, brief bool) (int, error) {
	ms := -1
	if timeout >= 0 { // rounded up, so that a wait does not end too early
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	return readiness.Call(brief, unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
		uintptr(len(p.raw)), uintptr(ms), 0, 0)
}

// handle calls the function of the i-th event.
func (p *poller) handle(i int) {
	e := &p.raw[i]
	if w := p.watched[e.Fd]; w.call != nil && w.generation == e.Pad {
		w.call()
	}
}

// rawCall reads or writes a non-blocking pipe without giving the processor away, since it cannot
// block. The runtime takes the processor away from system calls of more than 20 µs, such as a large
// write.
func rawCall(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receive reads a non-blocking socket in the same way.
func receive(fd int, p []byte, flags int) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
