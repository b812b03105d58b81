package simple

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// listen opens the listening socket with the options of rule 8. Package net sets
// TCP_NODELAY and keepalive on what it accepts; the kernel hands down the others.
func listen(cfg backends.Config) (*net.TCPListener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second},
		Control: func(_, _ string, raw syscall.RawConn) error {
			return control(raw, func(fd int) error {
				err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 45_000)
				if cfg.SendBuffer > 0 {
					err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer))
				}
				return err
			})
		},
	}
	lc.SetMultipathTCP(false) // such sockets take other options
	l, err := lc.Listen(context.Background(), network(cfg.Listen), cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("simple: %w", err)
	}
	listener := l.(*net.TCPListener)
	raw, err := listener.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error { return unix.Listen(fd, cfg.Backlog) })
	}
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("simple: set the backlog: %w", err)
	}
	return listener, nil
}

// network keeps an IPv4 address to IPv4: for 0.0.0.0 package net would take both.
func network(listen string) string {
	if addr, err := netip.ParseAddrPort(listen); err == nil && addr.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

func control(raw syscall.RawConn, call func(fd int) error) (err error) {
	return errors.Join(raw.Control(func(fd uintptr) { err = call(int(fd)) }), err)
}
