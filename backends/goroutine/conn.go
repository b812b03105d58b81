package goroutine

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chatbench/core"
)

// conn is one client. Its reader and its writer each end by themselves; the
// one that ends last finishes the connection.
type conn struct {
	server  *server
	net     *net.TCPConn
	raw     syscall.RawConn
	session *core.Session
	place   int                       // in server.conns, under server.mu
	noted   atomic.Bool               // the session is in rounds.mail
	gone    atomic.Bool               // write nothing more: the client is gone, or is cut off
	cut     atomic.Bool               // by Shutdown
	reset   atomic.Bool               // a write has told so, and no read will
	until   atomic.Pointer[time.Time] // when a closing connection is given up

	writer writer

	mu     sync.Mutex // guards what follows, and writer.state
	unread bool       // the reader has ended
	reason core.Reason
}

func newConn(s *server, nc *net.TCPConn, raw syscall.RawConn) *conn {
	c := &conn{server: s, net: nc, raw: raw}
	c.writer.run, c.writer.give = c.writeAll, c.write
	return c
}

// begin starts to read and, for what is there already, to write.
func (c *conn) begin(session *core.Session) {
	c.session = session
	if _, closing := session.Closing(); closing {
		c.urge() // it was turned away, which nobody wakes us for
	}
	go c.writeAll()
	go c.readAll()
}

// urge gives a closing connection until Linger is over to take what it is
// still sent and to say FIN. A writer that is stalled has to look again, for
// there may be nothing more to be written.
func (c *conn) urge() {
	until := time.Now().Add(c.server.cfg.Linger)
	if c.until.CompareAndSwap(nil, &until) {
		c.net.SetReadDeadline(until)
		c.net.SetWriteDeadline(time.Unix(1, 0))
	}
}

// cutOff ends the connection now.
func (c *conn) cutOff() {
	c.cut.Store(true)
	c.gone.Store(true)
	c.net.Close()
}

// readerEnds ends the connection, unless the session is closing: then the
// writer has been told, and ends it when all is written.
func (c *conn) readerEnds(reason core.Reason) {
	if c.cut.Load() {
		reason = core.ReasonCut
	}
	_, closing := c.session.Closing()
	if !closing {
		c.gone.Store(true)
		c.net.Close() // wakes a writer that is stalled
	}
	c.mu.Lock()
	c.unread, c.reason = true, reason
	if c.writer.state == parked && !closing {
		c.writer.state = ended
	}
	last := c.writer.state == ended
	c.mu.Unlock()
	if last {
		c.finish()
	}
}

// writerEnds ends the connection if the reader has ended.
func (c *conn) writerEnds() {
	c.mu.Lock()
	c.leaveRound()
	c.writer.state = ended
	last := c.unread
	c.mu.Unlock()
	if last {
		c.finish()
	}
}

// finish lets go of a connection that nobody reads or writes any more.
func (c *conn) finish() {
	c.net.Close()
	if c.reset.Load() && c.reason == core.ReasonEOF {
		c.reason = core.ReasonReset
	}
	c.session.Leave(c.reason)
	c.server.forget(c)
}
