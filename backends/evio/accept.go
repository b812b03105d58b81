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
	// minDescriptors have to be free when evio accepts. evio ends if it finds none, and
	// others may take some between the check and its accept.
	minDescriptors = 32
	// retryAccept is the pause when there is no descriptor even to turn a client away.
	retryAccept = 100 * time.Millisecond
)

// acceptor decides when evio accepts. Its goroutine waits for connections. If descriptors
// are free it makes evio watch its listening descriptor for a single connection, otherwise
// it turns the connection away.
type acceptor struct {
	cfg      backends.Config
	own      *os.File // a duplicate of evio's listening descriptor
	raw      syscall.RawConn
	reserve  *socket.Reserve
	fd       int           // evio's listening descriptor
	epoll    int           // evio's epoll descriptor
	taken    chan struct{} // evio has accepted a connection
	closing  atomic.Bool   // every connection is turned away
	quit     chan struct{}
	finished sync.WaitGroup
}

// newAcceptor takes over accepting from evio's loop, which has the epoll descriptor.
func newAcceptor(cfg backends.Config, addr netip.AddrPort, epoll int) (*acceptor, error) {
	a := &acceptor{cfg: cfg, fd: -1, epoll: epoll, taken: make(chan struct{}, 1), quit: make(chan struct{})}
	err := eachListener(addr, func(fd int) error {
		if a.watch(fd, 0) == nil { // package net has another descriptor, which evio does not watch
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

// watch sets the events for which evio's loop watches a listening descriptor.
func (a *acceptor) watch(fd int, events uint32) error {
	return unix.EpollCtl(a.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// run handles one connection after the other.
func (a *acceptor) run() {
	retry := time.NewTimer(retryAccept)
	defer retry.Stop()
	for a.raw.Read(pending) == nil {
		retry.Reset(retryAccept)
		switch {
		case !a.closing.Load() && a.spare():
			if err := a.watch(a.fd, unix.EPOLLIN|unix.EPOLLONESHOT); err != nil {
				a.cfg.Log.Error("evio can accept no more", "backend", name, "err", err)
				return
			}
			select {
			case <-a.taken:
			case <-retry.C: // the connection has gone
			case <-a.quit:
				return
			}
		case !a.turnAway():
			select {
			case <-retry.C:
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

// spare says whether enough descriptors are free to accept.
func (a *acceptor) spare() (enough bool) {
	err := a.raw.Control(func(own uintptr) { enough = spare(int(own)) })
	if err == nil && !enough {
		a.cfg.Counters.AcceptErrors.Add(1)
	}
	return enough
}

// spare says whether enough descriptors are free; any is any descriptor of the process. The
// kernel gives out the lowest free number, so a duplicate tells how many are left.
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
	return uint64(next)+minDescriptors <= limit.Cur
}

// turnAway closes the first connection in the kernel's queue. It is false if it could not.
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

// accepted tells the acceptor that evio has accepted a connection.
func (a *acceptor) accepted() {
	select {
	case a.taken <- struct{}{}:
	default:
	}
}

// eachListener calls do with each descriptor of a socket that listens on an address. evio
// does not tell which is its own.
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
		return fmt.Errorf("no socket in /proc/self/fd listens on %v", addr)
	}
	return nil
}
