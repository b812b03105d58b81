package goroutine

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chatbench/backends/internal/linger"
	"chatbench/backends/internal/peerwatch"
	"chatbench/core"
)

// conn is one client. Its reader and its writer end independently; the one that ends last
// finishes the connection.
type conn struct {
	server      *server
	net         *net.TCPConn
	raw         syscall.RawConn
	session     *core.Session
	index       int                       // in server.conns, under server.mu
	inWakes     atomic.Bool               // the session is in rounds.wakes
	gone        atomic.Bool               // nothing more is written: the client is gone, or is cut off
	cut         atomic.Bool               // Shutdown has cut it off
	reset       atomic.Bool               // a write has reported a reset, which no read will
	readerWaits atomic.Bool               // the reader waits until its session is not Held any more
	lingerUntil atomic.Pointer[time.Time] // when the client has to have sent FIN, once our FIN is sent

	writer writer

	// Used only by the reader.
	peer       peerwatch.Watch
	dropped    bool        // the client left while Held, and its time is over
	droppedFor core.Reason // how it left

	mu         sync.Mutex // guards what follows, and writer.state
	readerCond sync.Cond  // wakes the reader while it waits
	readerDone bool       // the reader has ended
	reason     core.Reason
}

func newConn(s *server, nc *net.TCPConn, raw syscall.RawConn) *conn {
	c := &conn{server: s, net: nc, raw: raw}
	c.writer.writeAllFunc, c.writer.writeFunc = c.writeAll, c.write
	c.readerCond.L = &c.mu
	return c
}

// begin starts the reader, and the writer for output that is there already.
func (c *conn) begin(session *core.Session) {
	c.session = session
	go c.writeAll()
	go c.readAll()
}

// wakeStalledWriter makes a stalled writer ask for output again: there is none if the room has
// given up the client.
func (c *conn) wakeStalledWriter() { c.net.SetWriteDeadline(longAgo) }

var longAgo = time.Unix(1, 0)

// linger limits the time until the client's FIN, now that everything is sent.
func (c *conn) linger() {
	wait := c.server.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, linger.Brief)
	}
	until := time.Now().Add(wait)
	c.lingerUntil.Store(&until)
	c.net.SetReadDeadline(until)
}

// lingerOver says whether that time is over.
func (c *conn) lingerOver() bool {
	until := c.lingerUntil.Load()
	return until != nil && time.Now().After(*until)
}

// cutOff ends the connection now.
func (c *conn) cutOff() {
	c.cut.Store(true)
	c.gone.Store(true)
	c.wakeReader() // otherwise Close would wait for the reader
	c.net.Close()
}

// readerEnds ends the connection, unless the session is closing: then the writer ends it when
// everything is written.
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
	c.readerDone, c.reason = true, reason
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
	last := c.readerDone
	c.mu.Unlock()
	if last {
		c.finish()
	}
}

// finish closes a connection that is neither read nor written any more, and leaves the room.
func (c *conn) finish() {
	c.net.Close()
	if c.reset.Load() && c.reason == core.ReasonEOF {
		c.reason = core.ReasonReset
	}
	c.session.Leave(c.reason)
	c.server.forget(c)
}
