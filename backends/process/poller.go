package process

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller is epoll, level-triggered. What an event is for is found by its
// descriptor and a generation, so that one of a descriptor that is closed is
// never taken for one of its successor.
type poller struct {
	fd      int
	raw     [512]unix.EpollEvent
	watched []watch // by descriptor
	born    int32   // generation of the newest watch
}

// watch is what to do when a descriptor is ready; nil: it is not watched.
type watch struct {
	born int32
	call func()
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("process: epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

// add has call called when fd is ready for one of the events.
func (p *poller) add(fd int, events uint32, call func()) error {
	p.born++
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.born}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return err
	}
	for fd >= len(p.watched) {
		p.watched = append(p.watched, make([]watch, len(p.watched)+64)...)
	}
	p.watched[fd] = watch{p.born, call}
	return nil
}

// modify changes what a descriptor is watched for.
func (p *poller) modify(fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.watched[fd].born}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

// remove forgets a descriptor. Closing it is not enough: a child that is being
// forked may hold it open for a moment.
func (p *poller) remove(fd int) {
	if fd < len(p.watched) && p.watched[fd].call != nil {
		p.watched[fd] = watch{}
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// wait sleeps until something is ready, or for timeout; negative: for ever.
// brief is readiness.Call's.
func (p *poller) wait(timeout time.Duration, brief bool) (int, error) {
	ms := -1
	if timeout >= 0 { // rounded up: a wait must not end before its time
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	return readiness.Call(brief, unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
		uintptr(len(p.raw)), uintptr(ms), 0, 0)
}

// handle calls what is to be called for the i-th event.
func (p *poller) handle(i int) {
	e := &p.raw[i]
	if w := p.watched[e.Fd]; w.call != nil && w.born == e.Pad {
		w.call()
	}
}

// quick reads or writes a pipe with the processor in hand: on one that does not
// block neither can wait for anybody. The runtime takes processors away from
// calls of over 20 µs, as a write of much is.
func quick(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// receive reads a socket that does not block, in the same way.
func receive(fd int, p []byte, flags int) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
