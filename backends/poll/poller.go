package poll

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller is poll(2): the whole list goes to the kernel with every wait, and the
// whole answer is looked through.
type poller struct {
	fds     []unix.PollFd
	ids     []readiness.ID // beside fds
	place   map[int]int    // of a descriptor in both
	timeout unix.Timespec
	from    int // where the next look begins, so that nobody starves
}

func newPoller() (readiness.Poller, error) { return &poller{place: map[int]int{}}, nil }

func (p *poller) Add(id readiness.ID) error {
	p.place[id.FD()] = len(p.fds)
	p.fds = append(p.fds, unix.PollFd{Fd: int32(id.FD()), Events: unix.POLLIN | unix.POLLRDHUP})
	p.ids = append(p.ids, id)
	return nil
}

func (p *poller) Want(id readiness.ID, write bool) error {
	fd := &p.fds[p.place[id.FD()]]
	fd.Events &^= unix.POLLOUT
	if write {
		fd.Events |= unix.POLLOUT
	}
	return nil
}

func (p *poller) Remove(id readiness.ID) {
	i, last := p.place[id.FD()], len(p.fds)-1
	delete(p.place, id.FD())
	if i != last {
		p.fds[i], p.ids[i] = p.fds[last], p.ids[last]
		p.place[p.ids[i].FD()] = i
	}
	p.fds, p.ids = p.fds[:last], p.ids[:last]
}

func (p *poller) Wait(events []readiness.Event, timeout time.Duration, brief bool) (int, error) {
	ready, err := readiness.Call(brief, unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(p.fds))), uintptr(len(p.fds)),
		uintptr(unsafe.Pointer(readiness.Timespec(&p.timeout, timeout))), 0, 0, 0)
	if err != nil {
		return 0, err
	}
	n, at := 0, p.from
	for range p.fds {
		if n == ready || n == len(events) {
			break
		}
		at++
		if at >= len(p.fds) {
			at = 0
		}
		if got := p.fds[at].Revents; got != 0 {
			events[n] = readiness.Event{
				ID:       p.ids[at],
				Readable: got&^unix.POLLOUT != 0,
				Writable: got&(unix.POLLOUT|unix.POLLERR|unix.POLLHUP) != 0,
			}
			n++
		}
	}
	p.from = at
	return n, nil
}

func (p *poller) Close() error { return nil }
