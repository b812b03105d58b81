// Package socket has what all transports do with sockets in the same way: the listening socket, as
// package internal/tcp opens it, accepting connections, the address of a peer, and what to do when
// descriptors run out. Linux only.
//
// It does not read, write or wait, because transports differ in how they do that. Its functions keep
// no state and may be called from any goroutine; a Reserve and a Listener belong to one at a time.
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

// Listen opens the listening socket of cfg for a transport on package net. See tcp.Listen for the
// options of its connections.
func Listen(cfg backends.Config) (*net.TCPListener, error) { return open(cfg, false) }

func open(cfg backends.Config, share bool) (*net.TCPListener, error) {
	return tcp.Listen(cfg.Listen, tcp.Options{SendBuffer: cfg.SendBuffer, Backlog: cfg.Backlog, Share: share})
}

// ListenFD opens the same socket as Listen for a transport with its own event loop. It returns a
// non-blocking descriptor that is closed on exec, and where it is bound. With share it sets
// SO_REUSEPORT, so that other sockets with that option can bind the same port; the kernel then spreads
// connections over all of them.
func ListenFD(cfg backends.Config, share bool) (fd int, bound netip.AddrPort, err error) {
	l, err := open(cfg, share)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	defer l.Close() // the duplicate stays open, and the runtime does not poll it
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

// Accept accepts one connection from a listening descriptor, non-blocking and closed on exec. It does
// not wait: unix.EAGAIN means that no connection waits.
func Accept(listener int) (fd int, peer netip.AddrPort, err error) {
	for {
		fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return fd, AddrPort(sa), nil
		case unix.EINTR, unix.ECONNABORTED: // the next connection may be fine
		default:
			return -1, netip.AddrPort{}, err
		}
	}
}

// AddrPort converts a socket address. It returns the zero AddrPort if that is not an IP address, and an
// IPv4-mapped IPv6 address as IPv4.
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
