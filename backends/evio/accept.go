package evio

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
)

const (
	// spareDescriptors have to be free when evio accepts: it ends if it finds
	// none, whoever takes them in the moment between.
	spareDescriptors = 32
	// restTime is how long it takes to try again when there is no descriptor
	// even to turn somebody away.
	restTime = 100 * time.Millisecond
)

// acceptor decides when evio accepts: its goroutine waits for connections, and
// has evio watch its own listening descriptor for one of them at a time, if
// there are descriptors for it. Those for whom there are none it turns away.
type acceptor struct {
	cfg      backends.Config
	own      *os.File // a duplicate of evio's listening descriptor
	raw      syscall.RawConn
	reserve  *socket.Reserve
	fd       int // evio's
	epoll    int
	taken    chan struct{} // evio has accepted
	closing  atomic.Bool   // everybody is turned away
	quit     chan struct{}
	finished sync.WaitGroup
}

// newAcceptor takes over from the loop of that epoll descriptor.
func newAcceptor(cfg backends.Config, addr netip.AddrPort, epoll int) (*acceptor, error) {
	a := &acceptor{cfg: cfg, fd: -1, epoll: epoll, taken: make(chan struct{}, 1), quit: make(chan struct{})}
	err := eachListener(addr, func(fd int) error {
		if a.watch(fd, 0) == nil { // the other one is package net's
			a.fd = fd
		}
		return nil
	})
	if err == nil && a.fd < 0 {
		err = fmt.Errorf("evio does not watch a socket that listens on %v", addr)
	}
	if err != nil {
		return nil, err
	}
	own, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the listening descriptor: %w", err)
	}
	a.own = os.NewFile(uintptr(own), "listener")
	if a.raw, err = a.own.SyscallConn(); err == nil {
		a.reserve, err = socket.NewReserve()
	}
	if err != nil {
		a.own.Close()
		return nil, err
	}
	a.finished.Go(a.run)
	return a, nil
}

// stop ends the acceptor.
func (a *acceptor) stop() {
	close(a.quit)
	a.own.Close()
	a.finished.Wait()
	a.reserve.Close()
}

// watch has evio's loop watch a listening descriptor.
func (a *acceptor) watch(fd int, events uint32) error {
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// run sees to one connection after the other.
func (a *acceptor) run() {
	patience := time.NewTimer(restTime)
	defer patience.Stop()
	for a.raw.Read(pending) == nil {
		patience.Reset(restTime)
		switch {
		case !a.closing.Load() && a.spare():
			if err := a.watch(a.fd, unix.EPOLLIN|unix.EPOLLONESHOT); err != nil {
				a.cfg.Log.Error("evio can accept no more", "backend", name, "err", err)
				return
			}
			select {
			case <-a.taken:
			case <-patience.C: // it was gone again
			case <-a.quit:
				return
			}
		case !a.turnAway():
			select {
			case <-patience.C:
			case <-a.quit:
				return
			}
		}
	}
}

// pending says whether a connection waits to be accepted.
func pending(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}

// spare says whether there are descriptors enough to accept.
func (a *acceptor) spare() (enough bool) {
	err := a.raw.Control(func(own uintptr) { enough = spare(int(own)) })
	if err == nil && !enough {
		a.cfg.Counters.AcceptErrors.Add(1)
	}
	return enough
}

// spare says whether there are descriptors enough, of which it is given any
// one. The kernel gives out the lowest that is free, so the next one tells how
// many are left.
func spare(any int) bool {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return true
	}
	next, err := unix.FcntlInt(uintptr(any), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(next)
	return uint64(next)+spareDescriptors <= limit.Cur
}

// turnAway closes the connection at the head of the queue. It is false if that
// could not be done.
func (a *acceptor) turnAway() (gone bool) {
	err := a.raw.Control(func(own uintptr) { gone = a.reserve.TurnAway(int(own)) })
	if err != nil || !gone {
		return false
	}
	if !a.closing.Load() {
		a.cfg.Counters.NoDescriptors.Add(1)
	}
	return true
}

// accepted lets the acceptor go on.
func (a *acceptor) accepted() {
	select {
	case a.taken <- struct{}{}:
	default:
	}
}

// eachListener calls do with each descriptor of a socket that listens there.
// evio does not tell which are its own.
func eachListener(addr netip.AddrPort, do func(fd int) error) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("looking for the listening socket: %w", err)
	}
	found := false
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			continue
		}
		if sa, err := unix.Getsockname(fd); err != nil || socket.AddrPort(sa) != addr {
			continue
		}
		found = true
		if err := do(fd); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("the socket that listens on %v is not to be found in /proc/self/fd", addr)
	}
	return nil
}
