// Package socket makes the sockets of all transports alike: the listening
// socket as package internal/tcp opens it, the address of a peer, and what to do
// when descriptors run out. Linux only.
//
// It refuses to read, write or wait: how that is done is what sets the
// transports apart. Its functions keep no state and may be called from any
// goroutine; a Reserve belongs to one at a time.
package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/internal/tcp"
)

// Listen opens the listening socket of cfg for a transport on package net. See
// tcp.Listen for what its connections have.
func Listen(cfg backends.Config) (*net.TCPListener, error) { return open(cfg, false) }

func open(cfg backends.Config, share bool) (*net.TCPListener, error) {
	return tcp.Listen(cfg.Listen, tcp.Options{SendBuffer: cfg.SendBuffer, Backlog: cfg.Backlog, Share: share})
}

// ListenFD opens the same socket as Listen for a transport with a loop of its
// own: a non-blocking descriptor that is closed on exec, and where it is bound.
// With share it sets SO_REUSEPORT, so that others who do can bind the same
// port and the kernel spreads connections over all of them.
func ListenFD(cfg backends.Config, share bool) (fd int, bound netip.AddrPort, err error) {
	l, err := open(cfg, share)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	defer l.Close() // the duplicate lives on, and the runtime no longer polls it
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, netip.AddrPort{}, fmt.Errorf("socket: %w", err)
	}
	var failed error
	err = raw.Control(func(s uintptr) { fd, failed = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, failed); err != nil {
		return -1, netip.AddrPort{}, fmt.Errorf("socket: take over the listening socket: %w", err)
	}
	return fd, tcp.Bound(l), nil
}

// Accept takes one connection from a listening descriptor, non-blocking and
// closed on exec. It does not wait: unix.EAGAIN means that nobody is there.
func Accept(listener int) (fd int, peer netip.AddrPort, err error) {
	for {
		fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return fd, AddrPort(sa), nil
		case unix.EINTR, unix.ECONNABORTED: // the next in the queue may be well
		default:
			return -1, netip.AddrPort{}, err
		}
	}
}

// AddrPort is a socket address as the core takes it; the zero AddrPort if it
// is not one of IP. An IPv4 address in IPv6's clothes is given as IPv4.
func AddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			addr = addr.WithZone(zoneName(int(sa.ZoneId)))
		}
		return unmap(netip.AddrPortFrom(addr, uint16(sa.Port)))
	}
	return netip.AddrPort{}
}

func zoneName(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return fmt.Sprint(index)
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
