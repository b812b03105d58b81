package gnet

import (
	"net"

	lib "github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"chatbench/backends/internal/loopadapter"
)

// conn is one connection. Its methods run on gnet's loop.
type conn struct {
	loop     *loop
	gnet     lib.Conn // nil after OnClose
	client   *loopadapter.Client
	buffered int // octets in gnet's buffer when last asked
}

var _ loopadapter.Conn = (*conn)(nil)

// Send implements loopadapter.Conn. If the write fails gnet closes the connection and calls
// OnClose before Write returns.
func (c *conn) Send(p []byte) (int, error) {
	if c.gnet == nil {
		return 0, net.ErrClosed
	}
	if _, err := c.gnet.Write(p); err != nil {
		return 0, err
	}
	c.buffered = len(p)
	return c.Sent()
}

// Sent implements loopadapter.Conn.
func (c *conn) Sent() (int, error) {
	if c.gnet == nil {
		return 0, net.ErrClosed
	}
	left := c.gnet.OutboundBuffered()
	taken := c.buffered - left
	c.buffered = left
	return taken, nil
}

// Finish implements loopadapter.Conn. gnet cannot close one direction.
func (c *conn) Finish() {
	if c.gnet != nil {
		_ = unix.Shutdown(c.gnet.Fd(), unix.SHUT_WR)
	}
}

// Close implements loopadapter.Conn. OnClose is called within.
func (c *conn) Close() {
	if c.gnet == nil {
		return
	}
	if err := c.gnet.EventLoop().Close(c.gnet); err != nil {
		c.loop.logLimit.Error(c.loop.cfg.Log, "gnet cannot close a connection", "backend", name, "err", err)
	}
}

// readRest feeds what a client sent before its connection broke. gnet learns of the end from
// a write that fails, and then does not read, but the octets are there. A peer that has
// reset the connection sends no more, so this ends, at the latest when the kernel's buffer
// is empty.
func (c *conn) readRest(fd int) {
	buf := make([]byte, readSize)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		c.client.Feed(buf[:n])
	}
}
