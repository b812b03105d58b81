package simple

import (
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

// conn is one client. Its goroutine reads it; whoever holds mu writes to it.
type conn struct {
	server  *server
	net     *net.TCPConn
	raw     syscall.RawConn
	session *core.Session
	waiting atomic.Bool // a goroutine waits until the client takes more

	mu       sync.Mutex
	finished bool // FIN is sent
	reset    bool // a write has told so, and no read will
	gone     bool // nothing is written any more
}

// serve reads a client to its end.
func (c *conn) serve() {
	c.push()
	why := c.read()
	c.mu.Lock()
	c.gone = true
	if c.reset && why == core.ReasonEOF {
		why = core.ReasonReset
	}
	c.mu.Unlock()
	c.net.Close() // which also ends wait
	c.server.forget(c)
	c.session.Leave(why)
}

// read feeds the session until nothing can come any more.
func (c *conn) read() core.Reason {
	counters := c.server.cfg.Counters
	for buf := make([]byte, 16<<10); ; {
		n, err := c.net.Read(buf)
		if n > 0 {
			counters.Reads.Add(1)
			counters.BytesIn.Add(int64(n))
			c.feed(buf[:n])
		}
		switch {
		case err == io.EOF:
			return core.ReasonEOF
		case err != nil && c.server.isCut():
			return core.ReasonCut
		case err != nil: // an error of the connection, or Linger is over
			return core.ReasonReset
		}
	}
}

// feed gives the session its bytes in steps, and has clients written to in
// between when much was said. What comes from one that is told to go is thrown away.
func (c *conn) feed(in []byte) {
	for len(in) > 0 {
		if _, closing := c.session.Closing(); closing {
			return
		}
		n := min(len(in), backends.FeedStep)
		c.session.Feed(in[:n])
		in = in[n:]
		c.server.pace()
	}
	c.push()
}

// push writes what waits for the client, as far as the kernel takes it. What it
// does not take, a goroutine writes when it does.
func (c *conn) push() {
	if _, closing := c.session.Closing(); c.waiting.Load() && !closing {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write(backends.FlushAfter) && !c.waiting.Swap(true) {
		c.server.tasks.Go(c.wait)
	}
}

// wait writes whenever the client takes something, until nothing waits.
func (c *conn) wait() {
	_ = c.raw.Write(func(uintptr) (done bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for !c.write(math.MaxInt) {
			c.waiting.Store(false) // and look again: push did nothing until now
			if !c.write(math.MaxInt) {
				return true
			}
			c.waiting.Store(true)
		}
		return false
	})
}

// write writes about so many octets at most. It says whether more waits. c.mu is held.
func (c *conn) write(most int) (more bool) {
	counters := c.server.cfg.Counters
	for written := 0; !c.gone; {
		_, closing := c.session.Closing() // in this order: see rule 4
		out := c.session.Next()
		if out == nil {
			if closing {
				c.finish()
			}
			return false
		}
		if written >= most {
			return true
		}
		n, err := c.send(out)
		if n > 0 {
			counters.Writes.Add(1)
			counters.BytesOut.Add(int64(n))
			c.session.Wrote(n)
		}
		switch written += n; {
		case n == len(out) || err == unix.EINTR:
		case err == nil || err == unix.EAGAIN:
			if n == 0 {
				c.session.Wrote(0)
			}
			counters.Stalls.Add(1)
			return true
		default: // the reader goes on: what the client sent before is still there
			c.reset = err == unix.ECONNRESET
			c.session.WriteFailed()
		}
	}
	return false
}

// send is a write that never waits. RawConn.Write would: for the lock that wait has.
func (c *conn) send(out []byte) (n int, err error) {
	if closed := c.raw.Control(func(fd uintptr) { n, err = unix.Write(int(fd), out) }); closed != nil {
		return 0, closed
	}
	return max(n, 0), err
}

// finish sends FIN, and gives the client a time to do the same.
func (c *conn) finish() {
	if c.finished {
		return
	}
	c.finished = true
	linger := c.server.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		linger = min(linger, 250*time.Millisecond)
	}
	_ = c.net.CloseWrite()
	_ = c.net.SetReadDeadline(time.Now().Add(linger))
}
