package netpoll

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	lib "github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"chatbench/backends/internal/loopadapter"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// longAgo is the write deadline of every connection. With a deadline in the past Flush
// writes what it can, leaves the rest to the poller and returns ErrWriteTimeout at once.
// Otherwise it would block until the client has taken everything.
var longAgo = time.Unix(1, 0)

// connKey is the key of a conn in the context of its requests.
type connKey struct{}

var _ loopadapter.Conn = (*conn)(nil)

// conn is one connection. Its methods run on the poller's goroutine, except closed, which
// runs on any.
type conn struct {
	loop     *loop
	lib      lib.Connection
	client   *loopadapter.Client
	buffered int // octets in the library's buffer

	// mu is held while the library's buffers or the descriptor are used, so that closed
	// waits.
	mu    sync.Mutex
	dead  bool
	known bool        // why is set
	why   core.Reason // why it ends
}

// onRequest feeds the session all that the poller has read.
func onRequest(ctx context.Context, lc lib.Connection) error {
	defer crash()
	c := ctx.Value(connKey{}).(*conn)
	r := lc.Reader()
	c.look() // while the socket still has its state
	for n := r.Len(); n > 0; n = r.Len() {
		p, err := r.Next(n)
		if err != nil {
			return err
		}
		c.client.Feed(p)
	}
	return r.Release()
}

// Send implements loopadapter.Conn. If p has 4 KiB or more the library does not copy it.
func (c *conn) Send(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return 0, net.ErrClosed
	}
	if _, err := c.lib.Writer().WriteBinary(p); err != nil {
		return 0, err
	}
	c.buffered = len(p)
	return c.flush()
}

// Sent implements loopadapter.Conn. Another Flush writes what is left. The poller does not
// write at the same time, since this is its goroutine.
func (c *conn) Sent() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return 0, net.ErrClosed
	}
	return c.flush()
}

// flush returns the number of buffered octets if all were sent, otherwise 0: the library
// does not say how many of them the kernel took.
func (c *conn) flush() (int, error) {
	switch err := c.lib.Writer().Flush(); {
	case err == nil:
		n := c.buffered
		c.buffered = 0
		return n, nil
	case errors.Is(err, lib.ErrWriteTimeout):
		return 0, nil
	default:
		if errors.Is(err, unix.EPIPE) { // a FIN came before the reset
			c.end(core.ReasonEOF)
		}
		return 0, err
	}
}

// Finish implements loopadapter.Conn. The library cannot close one direction.
func (c *conn) Finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead {
		_ = unix.Shutdown(c.fd(), unix.SHUT_WR)
	}
}

func (c *conn) fd() int { return c.lib.(lib.Conn).Fd() }

// Close implements loopadapter.Conn.
func (c *conn) Close() { _ = c.lib.Close() }

// closed is called by the library when the connection has ended, before it
// closes the descriptor.
func (c *conn) closed(lib.Connection) error {
	c.look()
	c.mu.Lock()
	c.dead = true
	c.end(core.ReasonReset)
	why := c.why
	c.mu.Unlock()
	c.client.Ended(why)
	return nil
}

// look finds out whether and how the client has ended the connection. The library reports
// a FIN and a reset in the same way; the state of the socket differs.
func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch socket.PeerEnding(c.fd()) {
	case socket.Finished:
		c.end(core.ReasonEOF)
	case socket.Reset:
		c.end(core.ReasonReset)
	}
}

// end notes why the connection ends. The first reason stands.
func (c *conn) end(why core.Reason) {
	if !c.known {
		c.known, c.why = true, why
	}
}
