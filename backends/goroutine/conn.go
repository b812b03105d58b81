package goroutine

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chatbench/backends/internal/absence"
	"chatbench/backends/internal/linger"
	"chatbench/core"
)

// conn is one client. Its reader and its writer each end by themselves; the
// one that ends last finishes the connection.
type conn struct {
	server      *server
	net         *net.TCPConn
	raw         syscall.RawConn
	session     *core.Session
	place       int                       // in server.conns, under server.mu
	noted       atomic.Bool               // the session is in rounds.mail
	gone        atomic.Bool               // write nothing more: the client is gone, or is cut off
	cut         atomic.Bool               // by Shutdown
	reset       atomic.Bool               // a write has told so, and no read will
	readerWaits atomic.Bool               // for its session to be Held no more
	until       atomic.Pointer[time.Time] // when a connection that is sent nothing more is given up

	writer writer

	// The reader's.
	absence    absence.Watch
	dropped    bool        // its client has left, and has had its time
	droppedFor core.Reason // and how it left

	mu         sync.Mutex // guards what follows, and writer.state
	readerCond sync.Cond  // wakes a reader that waits
	unread     bool       // the reader has ended
	reason     core.Reason
}

func newConn(s *server, nc *net.TCPConn, raw syscall.RawConn) *conn {
	c := &conn{server: s, net: nc, raw: raw}
	c.writer.run, c.writer.give = c.writeAll, c.write
	c.readerCond.L = &c.mu
	return c
}

// begin starts to read and, for what is there already, to write.
func (c *conn) begin(session *core.Session) {
	c.session = session
	go c.writeAll()
	go c.readAll()
}

// urge has a writer that is stalled look again whether there is something to be
// written: there is not, if the room has given its client up.
func (c *conn) urge() { c.net.SetWriteDeadline(longAgo) }

var longAgo = time.Unix(1, 0)

// linger gives the client, which is sent nothing more, a time to say FIN.
func (c *conn) linger() {
	wait := c.server.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, linger.Brief)
	}
	until := time.Now().Add(wait)
	c.until.Store(&until)
	c.net.SetReadDeadline(until)
}

// late says whether that time is over.
func (c *conn) late() bool {
	until := c.until.Load()
	return until != nil && time.Now().After(*until)
}

// cutOff ends the connection now.
func (c *conn) cutOff() {
	c.cut.Store(true)
	c.gone.Store(true)
	c.wakeReader() // or Close would wait for the reader
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
	c.readerCond.Broadcast()
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
