package gnet

import (
	"sync/atomic"
	"time"

	lib "github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

// conn is one connection.
type conn struct {
	loop    *loop
	gnet    lib.Conn // nil once it is gone
	session *core.Session
	place   int         // in loop.live
	mailed  atomic.Bool // is in loop.mail
	listed  bool        // is in loop.lagging
	held    int         // octets of what Next gave that gnet had not passed on when last seen
	leaving bool        // our FIN is sent, or is to be sent when gnet has passed all on
	fin     bool        // our FIN is sent
	rest    []byte      // what it sent and is not fed yet, of one that is gone
	unfed   []byte      // what is not fed yet of the event it is in
	why     core.Reason // why it is gone
}

// feed gives the session what its client has sent, in steps between which others
// are written to if much was said.
func (c *conn) feed(in []byte) {
	if c.leaving || len(in) == 0 {
		return // thrown away
	}
	c.count(in)
	for len(in) > 0 && !c.leaving && c.gnet != nil {
		in = c.step(in)
		c.unfed = in // if a write finds out that the client is gone
		c.loop.mayFlush()
	}
	c.unfed = nil
}

func (c *conn) count(in []byte) {
	l := c.loop
	l.cfg.Counters.Reads.Add(1)
	l.cfg.Counters.BytesIn.Add(int64(len(in)))
	l.read += len(in)
}

// step feeds the session one step, and returns what is left.
func (c *conn) step(in []byte) []byte {
	n := min(len(in), backends.FeedStep)
	c.session.Feed(in[:n])
	return in[n:]
}

// readRest reads what a client sent before its connection broke, to be fed in
// turns to come. gnet finds out by a write that fails and does not read any more,
// but the octets are there. A peer that has reset the connection sends no more, so
// this ends, at the latest with what the kernel had room for.
func (c *conn) readRest() {
	if c.leaving {
		return
	}
	c.rest = append(c.rest, c.unfed...)
	buf := make([]byte, readSize)
	for {
		n, err := unix.Read(c.gnet.Fd(), buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		c.count(buf[:n])
		c.rest = append(c.rest, buf[:n]...)
	}
}

// discard has nothing kept for a client that can be sent nothing more, and works
// through its input that waits.
func (c *conn) discard() {
	c.session.WriteFailed()
	c.session.Next()
}

// settle counts what gnet has passed on to the kernel since it was last asked,
// and gives how many octets that is, of those it held.
func (c *conn) settle() (took int) {
	if c.held == 0 {
		return 0
	}
	left := c.gnet.OutboundBuffered()
	if took = c.held - left; took > 0 {
		c.loop.cfg.Counters.Writes.Add(1)
		c.loop.cfg.Counters.BytesOut.Add(int64(took))
		c.held = left
	}
	return took
}

// free tells the session what was passed on, and whether gnet holds nothing.
func (c *conn) free() bool {
	if took := c.settle(); took > 0 {
		c.session.Wrote(took)
	}
	return c.held == 0
}

// write gives gnet what waits for a client while the kernel takes it, and ends
// the connection when a closing session has no more.
func (c *conn) write() {
	if c.gnet == nil || c.fin {
		return
	}
	for c.free() {
		// In this order: a session that was closing before it had nothing
		// more will never have more.
		_, closing := c.session.Closing()
		p := c.session.Next()
		if p == nil {
			if closing {
				c.finish()
			}
			return
		}
		if !c.writeAll(p) {
			return
		}
	}
	c.lag()
}

// writeAll gives gnet octets piece by piece, the next when the kernel has
// taken the one before whole. The session is told once, for less than all
// means to it that the client takes no more. It is false if the connection is
// gone: then OnClose was called within Write.
func (c *conn) writeAll(p []byte) bool {
	sent := 0
	for sent < len(p) && c.held == 0 {
		piece := p[sent:min(sent+writeSize, len(p))]
		if _, err := c.gnet.Write(piece); err != nil {
			return false
		}
		c.held = len(piece)
		sent += c.settle()
	}
	if c.held > 0 {
		c.loop.cfg.Counters.Stalls.Add(1)
	}
	c.session.Wrote(sent)
	return true
}

// lag keeps a connection in mind for which gnet holds octets. One whose
// session gives nothing more, as it is cut off, has until the end of Linger
// to take them.
func (c *conn) lag() {
	if !c.listed {
		c.listed = true
		c.loop.lagging = append(c.loop.lagging, c)
	}
	if _, closing := c.session.Closing(); closing && c.session.Next() == nil {
		c.leave()
	}
}

// finish sends our FIN after the last octet; the connection then waits for the
// client's, so that closing does not reset it and destroy what is on its way.
func (c *conn) finish() {
	c.fin = true
	_ = unix.Shutdown(c.gnet.Fd(), unix.SHUT_WR)
	c.leave()
}

// leave gives the connection a time to end by itself.
func (c *conn) leave() {
	if !c.leaving {
		c.leaving = true
		why, _ := c.session.Closing()
		c.loop.lingering.Push(c, time.Now(), c.loop.cfg.Linger, why.TurnedAway())
	}
}
