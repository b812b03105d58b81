// Package socket makes the sockets of all transports alike: the listening
// socket, the options of every connection, the address of a peer, and what to
// do when descriptors run out. Linux only.
//
// It refuses to read, write or wait: how that is done is what sets the
// transports apart. Its functions keep no state and may be called from any
// goroutine; a Reserve belongs to one at a time.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// When a silent peer is given up. The protocol has no ping, so this alone
// finds the dead. A peer that falls silent while nothing is sent to it is
// asked after keepIdle and gone at the first probe after userTimeout: 50 s. If
// something is sent to it in the last of those moments, the kernel begins to
// count anew: 95 s. The kernel also ends a peer that lives but takes nothing
// for userTimeout while output waits for it.
const (
	keepIdle     = 30 * time.Second
	keepInterval = 10 * time.Second
	userTimeout  = 45 * time.Second
)

// Listen opens the listening socket of cfg for a transport on package net.
// Connections it accepts have all the options of Configure already, for Linux
// hands those of the listening socket down.
func Listen(cfg backends.Config) (*net.TCPListener, error) { return open(cfg, false) }

func open(cfg backends.Config, share bool) (*net.TCPListener, error) {
	var failed error
	lc := net.ListenConfig{
		KeepAlive: -1, // ours are set below; package net would set its own over them
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(c.Control(func(fd uintptr) {
				failed = Configure(int(fd), cfg)
				if share {
					failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
				}
			}), failed)
		},
	}
	lc.SetMultipathTCP(false) // its sockets take other options than TCP's
	l, err := lc.Listen(context.Background(), Network(cfg.Listen), cfg.Listen)
	if err != nil {
		return nil, Explain(cfg.Listen, err)
	}
	listener := l.(*net.TCPListener)
	if err := setBacklog(listener, cfg.Backlog); err != nil {
		listener.Close()
		return nil, fmt.Errorf("socket: set the backlog: %w", err)
	}
	return listener, nil
}

// Network is the network of an address to listen on, as package net takes it.
// An IPv4 address is IPv4 alone, 0.0.0.0 too, and an IPv6 address is IPv6 alone;
// [::] and an empty host are both. "tcp" would be both for 0.0.0.0: a server that
// is meant to be on IPv4 would be open to IPv6, past the firewall's rules for IPv4.
func Network(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return "tcp"
	}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil: // a name, or no host
		return "tcp"
	case addr.Unmap().Is4():
		return "tcp4"
	case addr.IsUnspecified():
		return "tcp"
	}
	return "tcp6"
}

// setBacklog listens a second time, which changes the backlog and nothing
// else: package net always asks for net.core.somaxconn.
func setBacklog(l *net.TCPListener, backlog int) error {
	if backlog <= 0 {
		return nil
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), backlog) })
	return errors.Join(err, failed)
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
	return fd, Bound(l), nil
}

// Bound is where a listener is bound.
func Bound(l net.Listener) netip.AddrPort {
	return unmap(l.Addr().(*net.TCPAddr).AddrPort())
}

// Explain turns what package net says of a socket that cannot listen into one
// line that helps. It is for transports whose library listens by itself; of all
// others it is the error of Listen, and none puts a word in front of it.
func Explain(listen string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		hint = " (stop the other server, or choose another port)"
	case errors.Is(err, unix.EACCES):
		hint = " (ports below 1024 take privileges; choose a higher one)"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = " (no interface of this machine has this address)"
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return fmt.Errorf("socket: cannot listen on %q: %w%s", listen, err, hint)
}

// Configure sets the options of cfg on a connection, or on a listening socket
// for all it will accept.
func Configure(fd int, cfg backends.Config) error {
	type option struct {
		name              string
		level, opt, value int
	}
	options := []option{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepIdle / time.Second)},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval / time.Second)},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout / time.Millisecond)},
	}
	if cfg.SendBuffer > 0 {
		options = append(options, option{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("socket: set %s to %d: %w", o.name, o.value, err)
		}
	}
	return nil
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
