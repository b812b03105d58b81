// Package tcp opens listening sockets whose connections all have the same options, for the
// transports, the TLS front and the browser page. Clients set the same options with Configure.
// Linux only.
//
// It does not accept, read or write. Its functions keep no state and may be called from any
// goroutine.
package tcp

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
)

// When a silent peer is given up. The protocol has no ping, so only these timeouts find dead
// peers. If nothing is sent to a peer it is probed after keepIdle, and ended at the first probe
// after userTimeout: 50 s. If something is sent to it just before that, the kernel starts
// counting again: 95 s. The kernel also ends a peer that is alive but takes nothing for
// userTimeout while output waits for it.
const (
	keepIdle     = 30 * time.Second
	keepInterval = 10 * time.Second
	userTimeout  = 45 * time.Second
)

// Options are the options in which listening sockets differ.
type Options struct {
	SendBuffer int  // SO_SNDBUF in octets; 0 leaves it to the kernel
	Backlog    int  // of listen(2); 0: as package net sets it
	Share      bool // SO_REUSEPORT: other sockets that set it may bind the same port
}

// Listen opens a listening socket. On Linux connections inherit its options, so they have all
// the options of Configure.
func Listen(address string, o Options) (*net.TCPListener, error) {
	var failed error
	lc := net.ListenConfig{
		KeepAlive: -1, // or package net's keepalive would overwrite Configure's
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(c.Control(func(fd uintptr) {
				failed = Configure(int(fd), o.SendBuffer)
				if o.Share {
					failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
				}
			}), failed)
		},
	}
	lc.SetMultipathTCP(false) // MPTCP sockets have other options
	l, err := lc.Listen(context.Background(), Network(address), address)
	if err != nil {
		return nil, Explain(address, err)
	}
	listener := l.(*net.TCPListener)
	if err := setBacklog(listener, o.Backlog); err != nil {
		listener.Close()
		return nil, fmt.Errorf("tcp: set the backlog: %w", err)
	}
	return listener, nil
}

// Network is package net's name of the network of an address to listen on: "tcp4" for an IPv4
// address, including 0.0.0.0, "tcp6" for an IPv6 address, and "tcp", which means both, for [::]
// and an empty host. With "tcp" a server on 0.0.0.0 would also listen to IPv6, which a firewall
// for IPv4 does not cover.
func Network(address string) string {
	host, _, err := net.SplitHostPort(address)
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

// setBacklog calls listen(2) a second time, which changes the backlog and nothing else: package
// net always uses net.core.somaxconn.
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

// Bound is the address of a listener; an IPv4 address is in IPv4 form.
func Bound(l net.Listener) netip.AddrPort {
	bound := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
}

// Explain makes of package net's error for a socket that cannot listen one line that says what
// to do, and that wraps the kernel's error. Listen calls it; it is exported for transports whose
// library listens by itself.
func Explain(address string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		hint = " (stop the other server, or choose another port)"
	case errors.Is(err, unix.EACCES):
		hint = " (ports below 1024 need privileges; choose a higher one)"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = " (no interface of this machine has this address)"
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return fmt.Errorf("tcp: cannot listen on %q: %w%s", address, err, hint)
}

// Configure sets the options on a connection, or on a listening socket for all connections that
// it will accept. sendBuffer is SO_SNDBUF in octets; 0 leaves it to the kernel.
func Configure(fd, sendBuffer int) error {
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
	if sendBuffer > 0 {
		options = append(options, option{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("tcp: set %s to %d: %w", o.name, o.value, err)
		}
	}
	return nil
}
