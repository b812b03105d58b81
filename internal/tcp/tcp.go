// Package tcp opens listening sockets whose connections all have the same options,
// whoever accepts them: the transports, the TLS front, the browser page. A client sets
// them on its own side with Configure. Linux only.
//
// It refuses to accept, read or write. Its functions keep no state and may be called
// from any goroutine.
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

// Options is what sets one listening socket apart from another.
type Options struct {
	SendBuffer int  // SO_SNDBUF in octets; 0 leaves it to the kernel
	Backlog    int  // of listen(2); 0: as package net asks for
	Share      bool // SO_REUSEPORT: others that set it may bind the same port
}

// Listen opens a listening socket. Connections it accepts have all the options of
// Configure already, for Linux hands those of the listening socket down.
func Listen(address string, o Options) (*net.TCPListener, error) {
	var failed error
	lc := net.ListenConfig{
		KeepAlive: -1, // ours are set below; package net would set its own over them
		Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(c.Control(func(fd uintptr) {
				failed = Configure(int(fd), o.SendBuffer)
				if o.Share {
					failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
				}
			}), failed)
		},
	}
	lc.SetMultipathTCP(false) // its sockets take other options than TCP's
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

// Network is the network of an address to listen on, as package net takes it.
// An IPv4 address is IPv4 alone, 0.0.0.0 too, and an IPv6 address is IPv6 alone;
// [::] and an empty host are both. "tcp" would be both for 0.0.0.0: a server that
// is meant to be on IPv4 would be open to IPv6, past the firewall's rules for IPv4.
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

// Bound is where a listener is bound; an IPv4 address is given as IPv4.
func Bound(l net.Listener) netip.AddrPort {
	bound := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
}

// Explain turns what package net says of a socket that cannot listen into one
// line that helps, and that wraps what the kernel said. It is for those whose
// library listens by itself; of all others it is the error of Listen.
func Explain(address string, err error) error {
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
	return fmt.Errorf("tcp: cannot listen on %q: %w%s", address, err, hint)
}

// Configure sets the options on a connection, or on a listening socket for all it
// will accept. sendBuffer is SO_SNDBUF in octets; 0 leaves it to the kernel.
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
