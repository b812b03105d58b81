package thread

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/absence"
	"chatbench/backends/internal/linger"
	"chatbench/core"
)

// conn is one client, with a thread that reads and one that writes. The writer
// outlives the reader and lets go of the connection.
type conn struct {
	server  *server
	fd      int
	session *core.Session
	index   int // in server.conns, under server.mu

	bell        bell        // the writer's
	readerBell  bell        // the reader's, while it waits
	readerWaits atomic.Bool // for its session to be Held no more
	writerDone  atomic.Bool // the writer writes nothing more
	place       place
	words       pair

	gone   atomic.Bool // write nothing more: the client is gone, or is cut off
	cut    atomic.Bool // by Shutdown
	reset  bool        // a write has told so, and no read will; the writer's
	late   atomic.Bool // it has had its time to say FIN
	unread atomic.Bool // the reader has ended
	reason core.Reason // for which; set before unread

	// The reader's.
	absence    absence.Watch
	dropped    bool        // its client has left, and has had its time
	droppedFor core.Reason // and how it left

	mu     sync.Mutex // guards the descriptor against being interrupted once it is closed
	closed bool
}

// begin gives the connection its two threads.
func (c *conn) begin() {
	c.server.crew.run(c.readAll)
	c.server.crew.run(c.writeAll)
}

// interrupt ends a recv(2) or send(2) in which a thread of this connection is
// blocked.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}

// cutOff ends the connection now.
func (c *conn) cutOff() {
	c.cut.Store(true)
	c.gone.Store(true)
	c.interrupt()
	c.bell.ring()
	c.readerBell.ring()
}

// readerEnds tells the writer, which may have something to write yet if the
// session is closing.
func (c *conn) readerEnds(why core.Reason) {
	if c.cut.Load() {
		why = core.ReasonCut
	}
	c.reason = why
	if _, closing := c.session.Closing(); !closing {
		c.gone.Store(true)
		c.interrupt()
	}
	c.unread.Store(true)
	c.bell.ring()
}

// linger waits until the reader has ended, for so long as a client may take to
// say FIN.
func (c *conn) linger() {
	wait := c.server.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, linger.Brief)
	}
	for until := time.Now().Add(wait); !c.unread.Load(); {
		if c.late.Load() {
			c.bell.wait()
		} else if !c.bell.waitUntil(until) {
			c.late.Store(true)
			c.interrupt()
		}
	}
}

// end lets go of a connection that nobody reads or writes any more.
func (c *conn) end() {
	c.mu.Lock()
	c.closed = true
	_ = unix.Close(c.fd)
	c.mu.Unlock()
	if c.reset && c.reason == core.ReasonEOF {
		c.reason = core.ReasonReset
	}
	c.session.Leave(c.reason)
	c.server.forget(c)
}
