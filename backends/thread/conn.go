package thread

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/linger"
	"chatbench/backends/internal/peerwatch"
	"chatbench/core"
)

// conn is one client, with a thread that reads and one that writes. The writer ends after
// the reader, and closes the connection.
type conn struct {
	server  *server
	fd      int
	session *core.Session
	index   int // in server.conns, under server.mu

	bell        bell        // wakes the writer
	readerBell  bell        // wakes the reader while its session is Held
	readerWaits atomic.Bool // the reader waits for that
	writerDone  atomic.Bool // the writer writes nothing more
	place       place
	futexWords  pair

	gone       atomic.Bool // write nothing more: the client is gone, or is cut off
	cut        atomic.Bool // Shutdown has cut it off
	reset      bool        // a write has reported a reset, which no read will; the writer's
	lingerOver atomic.Bool // the client has not sent FIN in time
	readerDone atomic.Bool // the reader has ended
	reason     core.Reason // why it has; set before readerDone

	// Used only by the reader.
	peer       peerwatch.Watch
	dropped    bool        // the client left while Held, and its time is over
	droppedFor core.Reason // how it left

	mu     sync.Mutex // held while the descriptor is interrupted or closed
	closed bool
}

// startThreads starts the connection's two threads.
func (c *conn) startThreads() {
	c.server.pool.run(c.readAll)
	c.server.pool.run(c.writeAll)
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

// readerEnds tells the writer that the reader has ended. If the session is closing the
// writer may still have something to write.
func (c *conn) readerEnds(why core.Reason) {
	if c.cut.Load() {
		why = core.ReasonCut
	}
	c.reason = why
	if _, closing := c.session.Closing(); !closing {
		c.gone.Store(true)
		c.interrupt()
	}
	c.readerDone.Store(true)
	c.bell.ring()
}

// linger waits until the reader has ended, but no longer than a client may take to send
// FIN.
func (c *conn) linger() {
	wait := c.server.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, linger.Brief)
	}
	for until := time.Now().Add(wait); !c.readerDone.Load(); {
		if c.lingerOver.Load() {
			c.bell.wait()
		} else if !c.bell.waitUntil(until) {
			c.lingerOver.Store(true)
			c.interrupt()
		}
	}
}

// end closes a connection that nobody reads or writes any more, and leaves the room.
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
