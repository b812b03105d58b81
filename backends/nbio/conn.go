package nbio

import (
	"net"
	"sync/atomic"

	lib "github.com/lesismal/nbio"
	"golang.org/x/sys/unix"

	"chatbench/backends/internal/loopadapter"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// conn is one connection. Its methods run on the poller's goroutine.
type conn struct {
	loop    *loop
	lib     *lib.Conn
	fd      int // valid until the library closes it
	client  *loopadapter.Client
	taken   int           // octets that the kernel took since the last Sent
	sending bool          // within Send
	why     atomic.Uint32 // 1 + the Reason for which nothing more can be read
}

// read feeds the session what the client has sent, until nothing is left or the buffer
// was filled once. It reads nothing while input waits to be fed. After a FIN or an error
// it reads everything, because the library closes the connection when it returns.
func (c *conn) read(buf []byte) {
	if c.client.HasUnfed() && !c.ended() {
		return // it will be readable in the next turn too
	}
	for total := 0; total < len(buf) || c.ended(); {
		n, err := c.lib.Read(buf)
		switch {
		case n > 0:
			total += n
			c.client.Feed(buf[:n])
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		default: // EOF, or an error, which the kernel reports once and then as EOF
			if err == nil {
				c.end(core.ReasonEOF)
			} else {
				c.end(core.ReasonReset)
			}
			return
		}
	}
}

// end notes why nothing more can be read. The first reason stands.
func (c *conn) end(why core.Reason) { c.why.CompareAndSwap(0, 1+uint32(why)) }

// ended says whether the client will send nothing more.
func (c *conn) ended() bool {
	if closed, _ := c.lib.IsClosed(); closed {
		return true
	}
	return socket.PeerHasLeft(c.fd)
}

// Send implements loopadapter.Conn. A Write that fails closes the connection at once,
// though input may be unread. So a broken connection is read to its end, and not written
// to.
func (c *conn) Send(p []byte) (int, error) {
	if err := c.broken(); err != nil {
		return 0, err
	}
	c.sending = true
	_, err := c.lib.Write(p)
	c.sending = false
	n, _ := c.Sent()
	return n, err
}

func (c *conn) broken() error {
	if closed, _ := c.lib.IsClosed(); closed {
		return net.ErrClosed
	}
	errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if errno == 0 || err != nil {
		return err
	}
	if unix.Errno(errno) != unix.EPIPE { // EPIPE: a FIN came before the reset
		c.end(core.ReasonReset)
	}
	c.read(c.loop.brokenBuf)
	return unix.Errno(errno)
}

// Sent implements loopadapter.Conn.
func (c *conn) Sent() (int, error) {
	n := c.taken
	c.taken = 0
	return n, nil
}

// onWritten counts what the kernel took, of a Write or of the library's buffer.
func onWritten(lc *lib.Conn, _ []byte, n int) {
	c, ok := lc.Session().(*conn)
	if !ok {
		return
	}
	c.taken += n
	if !c.sending {
		c.client.Progress()
	}
}

// Finish implements loopadapter.Conn. The library cannot close one direction.
func (c *conn) Finish() {
	if closed, _ := c.lib.IsClosed(); !closed {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

// Close implements loopadapter.Conn.
func (c *conn) Close() { _ = c.lib.Close() }

// onClose is called by the library, on another goroutine, some time after it has closed
// the descriptor.
func onClose(lc *lib.Conn, _ error) {
	c, ok := lc.Session().(*conn)
	if !ok {
		return
	}
	if why := c.why.Load(); why != 0 {
		c.client.Ended(core.Reason(why - 1))
		return
	}
	c.client.Ended(core.ReasonReset)
}

var _ loopadapter.Conn = (*conn)(nil)
