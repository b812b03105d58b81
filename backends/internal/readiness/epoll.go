package readiness

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll is epoll(7), level-triggered: what a turn leaves unread shows again in
// the next. The generation of an ID travels in the event's free half, so that
// the kernel hands back just what was registered.
type Epoll struct {
	fd      int
	raw     []unix.EpollEvent
	exact   bool          // waits to the nanosecond, not in whole milliseconds
	timeout unix.Timespec // of a wait, if exact
}

// OpenEpoll opens epoll(7), for a Poller that is more than that. It is here, and not in
// the transport of that name, because several transports use it.
func OpenEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Epoll{fd: fd}, nil
}

// NewEpoll opens a Poller on epoll(7) and no more.
func NewEpoll() (Poller, error) { return OpenEpoll() }

func event(id ID, read, write bool) *unix.EpollEvent {
	e := &unix.EpollEvent{Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	if read {
		e.Events |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if write {
		e.Events |= unix.EPOLLOUT
	}
	return e
}

func (p *Epoll) Add(id ID) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, id.FD(), event(id, true, false))
}

func (p *Epoll) Want(id ID, read, write bool) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, id.FD(), event(id, read, write))
}

func (p *Epoll) Remove(id ID) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, id.FD(), nil)
}

func (p *Epoll) Wait(events []Event, timeout time.Duration, brief bool) (int, error) {
	if len(p.raw) < len(events) {
		p.raw = make([]unix.EpollEvent, len(events))
	}
	n, err := p.wait(len(events), timeout, brief)
	for i := range n {
		e := &p.raw[i]
		events[i] = Event{
			ID:       ID(uint32(e.Pad))<<32 | ID(uint32(e.Fd)),
			Readable: e.Events&^unix.EPOLLOUT != 0,
			Writable: e.Events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0,
		}
	}
	return n, err
}

// wait waits for so many events at most, which are then in raw.
func (p *Epoll) wait(events int, timeout time.Duration, brief bool) (int, error) {
	if p.exact {
		return Call(brief, unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
			uintptr(events), uintptr(unsafe.Pointer(Timespec(&p.timeout, timeout))), 0, 0)
	}
	ms := -1
	if timeout >= 0 { // rounded up: a wait must not end before its time
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	return Call(brief, unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
		uintptr(events), uintptr(ms), 0, 0)
}

// beExact has waits end when they are to, by epoll_pwait2(2). It fails where that is not
// to be had, before Linux 5.11 or behind a seccomp filter; then waits are in whole milliseconds,
// as they are without it. The other pollers are exact.
func (p *Epoll) beExact() error {
	var none unix.EpollEvent
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&none)), 1,
		uintptr(unsafe.Pointer(new(unix.Timespec))), 0, 0)
	if errno != 0 {
		return errno
	}
	p.exact = true
	return nil
}

func (p *Epoll) Close() error { return unix.Close(p.fd) }
