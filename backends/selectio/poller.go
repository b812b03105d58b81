package selectio

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/readiness"
)

// poller is select(2): each wait copies two bit sets of 1024 descriptors to the kernel, which returns
// them changed.
type poller struct {
	known              unix.FdSet // registered descriptors
	read, write        unix.FdSet // watched descriptors
	readable, writable unix.FdSet // ready descriptors
	timeout            unix.Timespec
	ids                [unix.FD_SETSIZE]readiness.ID
	top                int // one more than the highest registered descriptor
	from               int // where the next scan begins, so that no descriptor starves
}

func newPoller() (readiness.Poller, error) { return &poller{}, nil }

func (p *poller) Add(id readiness.ID) error {
	fd := id.FD()
	if fd >= unix.FD_SETSIZE {
		return fmt.Errorf("selectio: select(2) cannot watch descriptor %d, only those below %d: allow fewer clients", fd, unix.FD_SETSIZE)
	}
	if p.has(fd) {
		return unix.EEXIST
	}
	p.known.Set(fd)
	p.read.Set(fd)
	p.ids[fd] = id
	p.top = max(p.top, fd+1)
	return nil
}

// has says whether a descriptor is registered.
func (p *poller) has(fd int) bool { return fd < unix.FD_SETSIZE && p.known.IsSet(fd) }

func (p *poller) Want(id readiness.ID, read, write bool) error {
	if !p.has(id.FD()) {
		return unix.ENOENT
	}
	set(&p.read, id.FD(), read)
	set(&p.write, id.FD(), write)
	return nil
}

func set(s *unix.FdSet, fd int, on bool) {
	if on {
		s.Set(fd)
	} else {
		s.Clear(fd)
	}
}

func (p *poller) Remove(id readiness.ID) {
	if !p.has(id.FD()) {
		return
	}
	for _, s := range []*unix.FdSet{&p.known, &p.read, &p.write} {
		s.Clear(id.FD())
	}
	for p.top > 0 && !p.known.IsSet(p.top-1) {
		p.top--
	}
}

func (p *poller) Wait(events []readiness.Event, timeout time.Duration, brief bool) (int, error) {
	p.readable, p.writable = p.read, p.write
	ready, err := readiness.Call(brief, unix.SYS_PSELECT6, uintptr(p.top), uintptr(unsafe.Pointer(&p.readable)),
		uintptr(unsafe.Pointer(&p.writable)), 0, uintptr(unsafe.Pointer(readiness.Timespec(&p.timeout, timeout))), 0)
	if err != nil || ready == 0 {
		return 0, err
	}
	n := 0
	for range p.top {
		if n == len(events) {
			break
		}
		if p.from++; p.from >= p.top {
			p.from = 0
		}
		fd := p.from
		if r, w := p.readable.IsSet(fd), p.writable.IsSet(fd); r || w {
			events[n] = readiness.Event{ID: p.ids[fd], Readable: r, Writable: w}
			n++
		}
	}
	return n, nil
}

func (p *poller) Close() error { return nil }
