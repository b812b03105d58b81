package guest

import (
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/core"
)

// How much a library is given at once. It keeps what the client does not take,
// so one that had to keep something is given less for a while.
const (
	leastOffer = 16 << 10
	firstOffer = 64 << 10
	mostOffer  = 256 << 10
)

// Client is one connection.
type Client struct {
	guest   *Guest
	line    Line
	session *core.Session

	posted atomic.Bool   // is in guest.mail
	ended  atomic.Uint32 // 1 + the Reason that the library gave

	place   int    // in guest.live
	rest    []byte // what it sent and is not fed yet
	fed     int    // octets that were fed as they were read, in one turn
	fedIn   uint32 // the turn
	offer   int    // octets to give the library at most
	kept    int    // of those it was given, the ones it keeps
	leaving bool
	why     core.Reason // why it was over
	queued  bool        // is in guest.waiting
	listed  bool        // is in guest.keeping
	feeding bool        // is being fed what it sent
	sending bool        // the library is being given something, and may read meanwhile
	deaf    bool        // nothing can be written any more
	fin     bool        // nothing more is to be written, and what comes is thrown away
	over    bool        // the library was told to close it
	gone    bool
}

// Feed takes what the client has sent. It feeds at most feedMost octets of it in a
// turn, so that others have theirs; the rest waits here. A library that can put
// reading off should not read the client while it Waits.
func (c *Client) Feed(in []byte) {
	if c.fin || c.gone {
		return // thrown away
	}
	g := c.guest
	g.turnTimer.Begin()
	g.cfg.Counters.Reads.Add(1)
	g.cfg.Counters.BytesIn.Add(int64(len(in)))
	g.read += len(in)
	if c.fedIn != g.turns {
		c.fedIn, c.fed = g.turns, 0
	}
	c.feeding = true
	// Nothing is fed within a flush, for then nobody can be written to in between.
	for len(in) > 0 && len(c.rest) == 0 && c.fed < feedMost && !g.flushing && !c.fin && !c.gone {
		c.fed += min(len(in), backends.FeedStep)
		in = c.step(in)
		g.mayFlush()
	}
	c.feeding = false
	c.keep(in)
	if _, closing := c.session.Closing(); closing {
		c.write() // at once: if a FIN came along, the library is about to close
	}
	g.turnTimer.End()
}

// Waits says whether some of what the client has sent is not fed yet.
func (c *Client) Waits() bool { return len(c.rest) > 0 }

// step feeds the session one step, and returns what is left.
func (c *Client) step(in []byte) []byte {
	n := min(len(in), backends.FeedStep)
	c.session.Feed(in[:n])
	if c.deaf || c.ended.Load() != 0 {
		c.discard()
	}
	return in[n:]
}

// keep has input wait for the next turn.
func (c *Client) keep(in []byte) {
	if len(in) == 0 || c.fin || c.gone {
		return
	}
	if !c.queued {
		c.queued = true
		c.guest.waiting = append(c.guest.waiting, c)
		c.guest.ring()
	}
	c.rest = append(c.rest, in...)
}

// feedRest feeds a step of what waits, and lets the client go if it is the last
// one and the library has closed the connection.
func (c *Client) feedRest() {
	if _, closing := c.session.Closing(); closing || c.fin || c.gone {
		c.rest = nil // thrown away
	}
	if len(c.rest) > 0 {
		c.rest = c.step(c.rest)
		c.guest.mayFlush()
	}
	if len(c.rest) > 0 || c.gone {
		return
	}
	c.rest = nil
	if why := c.ended.Load(); why != 0 {
		c.leave(core.Reason(why - 1))
	}
}

// discard has nothing kept for a client that can be sent nothing more, and works
// through its input that waits.
func (c *Client) discard() {
	c.session.WriteFailed()
	c.session.Next()
}

// Progress notes that the library has written something that it kept.
func (c *Client) Progress() { c.guest.post(c) }

// Ended notes that the library has closed the connection, and why. It is not
// fed afterwards.
func (c *Client) Ended(why core.Reason) {
	c.ended.Store(1 + uint32(why))
	c.guest.post(c)
}

// attend looks after a client that was noted.
func (c *Client) attend() {
	if c.gone {
		return
	}
	if why := c.ended.Load(); why != 0 {
		c.deaf, c.kept = true, 0
		if !c.Waits() { // else it is left when that is fed
			c.leave(core.Reason(why - 1))
		}
		return
	}
	if c.kept > 0 {
		c.settle()
	}
	if c.kept == 0 {
		c.write()
		return
	}
	if _, closing := c.session.Closing(); closing {
		if !c.guest.turning {
			c.guest.post(c) // the library may be in the middle of this very connection
		} else if c.session.Next() == nil {
			c.finish() // it is cut off: what is still in the core is not sent
		}
	}
}

// write gives the library what waits for the client, and ends the connection
// when a closing session has no more.
func (c *Client) write() {
	if c.kept > 0 || c.deaf || c.fin || c.over || c.sending {
		return
	}
	if c.feeding {
		c.guest.post(c) // the library may be in the middle of reading it
		return
	}
	for {
		_, closing := c.session.Closing()
		p := c.session.Next()
		if p == nil {
			if closing {
				c.finish()
			}
			return
		}
		if !c.give(p) {
			return
		}
	}
}

// give gives the library octets piece by piece, the next when the kernel has
// taken the one before whole. The session is told once, for less than all means
// to it that the client takes no more. It is false if not all were taken.
func (c *Client) give(p []byte) bool {
	sent := 0
	defer func() { c.session.Wrote(sent) }()
	for sent < len(p) {
		piece := p[sent:min(sent+c.offer, len(p))]
		c.sending = true
		n, err := c.line.Send(piece)
		c.sending = false
		if err != nil {
			c.deafen()
			return false
		}
		c.count(n)
		sent += n
		if n < len(piece) {
			c.guest.cfg.Counters.Stalls.Add(1)
			c.kept = len(piece) - n
			c.offer = leastOffer
			c.list()
			return false
		}
		if n == c.offer {
			c.offer = min(2*n, mostOffer)
		}
	}
	return true
}

// count counts octets that the kernel has taken.
func (c *Client) count(n int) {
	if n > 0 {
		counters := c.guest.cfg.Counters
		counters.Writes.Add(1)
		counters.BytesOut.Add(int64(n))
	}
}

// list notes that the library keeps octets of this client's, if it does not
// tell by itself when it has written them.
func (c *Client) list() {
	if c.guest.lib.Mute && !c.listed {
		c.listed = true
		c.guest.keeping = append(c.guest.keeping, c)
	}
}

// settle asks after the octets that the library keeps, and goes on writing
// when there are none left.
func (c *Client) settle() {
	if c.over || c.deaf || c.gone {
		return
	}
	n, err := c.line.Sent()
	if err != nil {
		c.deafen()
		return
	}
	c.count(n)
	c.session.Wrote(n)
	if c.kept -= n; c.kept > 0 {
		return
	}
	if c.fin {
		c.line.Finish()
		return
	}
	c.write()
}

// deafen follows an error of writing. The client is read on: what it sent
// before is still there, and its end shows at the end of it.
func (c *Client) deafen() {
	c.deaf, c.kept = true, 0
	c.session.WriteFailed()
	c.linger()
}

// finish sends our FIN after the last octet; the connection then waits for the
// client's, so that closing does not reset it and destroy what is on its way.
func (c *Client) finish() {
	if c.fin {
		return
	}
	c.fin = true
	if c.kept > 0 && c.guest.lib.Borrows {
		c.end(core.ReasonReset) // before the core lets go of what the library would write
		return
	}
	if c.kept == 0 && !c.deaf {
		c.line.Finish()
	}
	c.linger()
}

// linger gives the connection so much time to end by itself.
func (c *Client) linger() {
	if c.leaving {
		return
	}
	c.leaving = true
	why, _ := c.session.Closing()
	c.guest.lingering.Push(c, time.Now(), c.guest.cfg.Linger, why.TurnedAway())
}

// cut ends the connection, or what is left of it.
func (c *Client) cut() {
	if c.ended.Load() != 0 && c.Waits() {
		c.rest = nil
		c.leave(core.ReasonCut)
		return
	}
	c.end(core.ReasonCut)
}

// end has the library close the connection now.
func (c *Client) end(why core.Reason) {
	if c.over || c.gone {
		return
	}
	c.over, c.why = true, why
	c.line.Close()
}

// leave lets go of a connection that the library has closed.
func (c *Client) leave(why core.Reason) {
	if c.over {
		why = c.why
	}
	c.gone = true
	c.session.Leave(why)
	c.guest.forget(c)
}

// Gone says whether the connection has ended.
func (c *Client) Gone() bool { return c.gone }
