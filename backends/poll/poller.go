package poll

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller is poll(2): each wait copies the whole list to the kernel, and looks through all of its
// answer.
type poller struct {
	fds     []unix.PollFd
	ids     []readiness.ID // parallel to fds
	index   map[int]int    // of a descriptor in both
	timeout unix.Timespec
	from    int // where the next scan begins, so that no descriptor starves
}

func newPoller() (readiness.Poller, error) { return &poller{index: map[int]int{}}, nil }

func (p *poller) Add(id readiness.ID) error {
	if _, found := p.index[id.FD()]; found {
		return unix.EEXIST
	}
	p.index[id.FD()] = len(p.fds)
	p.fds = append(p.fds, unix.PollFd{Fd: int32(id.FD()), Events: unix.POLLIN | unix.POLLRDHUP})
	p.ids = append(p.ids, id)
	return nil
}

func (p *poller) Want(id readiness.ID, read, write bool) error {
	i, found := p.index[id.FD()]
	if !found {
		return unix.ENOENT
	}
	p.fds[i].Events = 0
	if read {
		p.fds[i].Events |= unix.POLLIN | unix.POLLRDHUP
	}
	if write {
		p.fds[i].Events |= unix.POLLOUT
	}
	return nil
}

func (p *poller) Remove(id readiness.ID) {
	i, found := p.index[id.FD()]
	if !found {
		return
	}
	last := len(p.fds) - 1
	delete(p.index, id.FD())
	if i != last {
		p.fds[i], p.ids[i] = p.fds[last], p.ids[last]
		p.index[p.ids[i].FD()] = i
	}
	p.fds, p.ids = p.fds[:last], p.ids[:last]
}

func (p *poller) Wait(events []readiness.Event, timeout time.Duration, brief bool) (int, error) {
	ready, err := p.poll(p.fds, timeout, brief)
	if err == unix.EINVAL {
		ready, err = p.pollPieces(timeout, brief)
	}
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

func (p *poller) poll(fds []unix.PollFd, timeout time.Duration, brief bool) (int, error) {
	return readiness.Call(brief, unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(readiness.Timespec(&p.timeout, timeout))), 0, 0, 0)
}

// pieceTime is how long input may go unnoticed while the list is polled in pieces.
const pieceTime = 5 * time.Millisecond

// pollPieces is poll for a list that is longer than RLIMIT_NOFILE, which the kernel refuses with EINVAL.
// That happens if the limit is lowered (prlimit(2)) below the number of open descriptors. It must not
// wait long for one piece alone, so it waits briefly, for the first piece, which has the doorbell and
// the listener.
func (p *poller) pollPieces(timeout time.Duration, brief bool) (ready int, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur == 0 || uint64(len(p.fds)) <= limit.Cur {
		return 0, unix.EINVAL // for another reason
	}
	piece := int(limit.Cur)
	for _, wait := range []time.Duration{0, pieceTime} {
		if timeout >= 0 {
			wait = min(wait, timeout)
		}
		for from := 0; from < len(p.fds); from += piece {
			n, err := p.poll(p.fds[from:min(from+piece, len(p.fds))], wait, brief)
			if err != nil {
				return 0, err
			}
			ready += n
			wait = 0
		}
		if ready > 0 || timeout == 0 {
			break
		}
	}
	return ready, nil
}

func (p *poller) Close() error { return nil }
