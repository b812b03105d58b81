package readiness

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll is a level-triggered epoll(7): what a turn leaves unread is reported again in the next. The
// generation of an ID is in the unused half of the event's data, so the kernel returns exactly the
// ID that was registered.
type Epoll struct {
	fd      int
	raw     []unix.EpollEvent
	precise bool          // waits are exact to the nanosecond, not in whole milliseconds
	timeout unix.Timespec // of a wait, if precise
}

// OpenEpoll opens epoll(7) for a Poller that embeds it. It is here and not in package epoll because
// several transports use it.
func OpenEpoll() (*Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Epoll{fd: fd}, nil
}

// NewEpoll opens a Poller on epoll(7).
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

// wait waits for at most so many events and stores them in raw.
func (p *Epoll) wait(events int, timeout time.Duration, brief bool) (int, error) {
	if p.precise {
		return Call(brief, unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
			uintptr(events), uintptr(unsafe.Pointer(Timespec(&p.timeout, timeout))), 0, 0)
	}
	ms := -1
	if timeout >= 0 { // rounded up, so that a wait does not end too early
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	return Call(brief, unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])),
		uintptr(events), uintptr(ms), 0, 0)
}

// setPrecise makes waits precise, by epoll_pwait2(2). It fails if that is not available, before Linux
// 5.11 or behind a seccomp filter; then waits stay in whole milliseconds. The other pollers are
// always precise.
func (p *Epoll) setPrecise() error {
	var none unix.EpollEvent
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&none)), 1,
		uintptr(unsafe.Pointer(new(unix.Timespec))), 0, 0)
	if errno != 0 {
		return errno
	}
	p.precise = true
	return nil
}

func (p *Epoll) Close() error { return unix.Close(p.fd) }
