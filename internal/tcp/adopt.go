package tcp

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// FromFD makes a listener of a listening socket that another process has opened and passed on.
// The listener takes over the descriptor. If it is not a listening TCP socket, which is an
// error, it stays the caller's.
func FromFD(fd int) (*net.TCPListener, error) {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return nil, fmt.Errorf("tcp: descriptor %d is not a listening TCP socket", fd)
	}
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol != unix.IPPROTO_TCP {
		return nil, fmt.Errorf("tcp: descriptor %d is a listening socket, but not of plain TCP: Unix sockets and MPTCP are not supported", fd)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	l, err := net.FileListener(file) // which duplicates it
	if err != nil {
		return nil, fmt.Errorf("tcp: descriptor %d: %w", fd, err)
	}
	return l.(*net.TCPListener), nil
}

// Adopt sets the options of Listen on a listener of FromFD; Share is ignored. Connections that
// it accepts have the same options as those of Listen.
func Adopt(l *net.TCPListener, o Options) (net.Listener, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("tcp: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = Configure(int(fd), o.SendBuffer) })
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	if err := setBacklog(l, o.Backlog); err != nil {
		return nil, fmt.Errorf("tcp: set the backlog: %w", err)
	}
	return adopted{l}, nil
}

// adopted is a listener of a socket that another process has opened. Package net sets a
// keepalive of its own on the connections that it accepts, which only a ListenConfig could
// prevent, so ours is set again.
type adopted struct{ *net.TCPListener }

func (a adopted) Accept() (net.Conn, error) {
	c, err := a.AcceptTCP()
	if err != nil {
		return nil, err
	}
	// An error means that the connection is broken; reading will report that.
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: -1})
	return c, nil
}
