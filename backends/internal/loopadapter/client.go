package loopadapter

import (
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/core"
)

// How many octets a library is given at once. It buffers what the client does not take;
// after it had to buffer something it is given less for a while.
const (
	minOffer   = 16 << 10
	firstOffer = 64 << 10
	maxOffer   = 256 << 10
)

// Client is one connection.
type Client struct {
	adapter *Adapter
	conn    Conn
	session *core.Session

	isPosted atomic.Bool   // is in adapter.posted
	ended    atomic.Uint32 // 1 + the Reason given to Ended

	index       int    // in adapter.live
	unfed       []byte // input that is not fed yet
	fed         int    // octets fed by Feed in turn fedIn
	fedIn       uint32
	offer       int         // octets to give the library at most
	buffered    int         // octets in the library's buffer
	lingering   bool        // is in adapter.lingering
	why         core.Reason // why closed is set
	queued      bool        // is in adapter.waiting
	listed      bool        // is in adapter.withBuffered
	feeding     bool        // within Feed
	sending     bool        // within Conn.Send, during which the library may call Feed
	writeFailed bool        // nothing can be written any more
	fin         bool        // our FIN is sent, or nothing more will be; input is discarded
	closed      bool        // Conn.Close was called
	gone        bool        // the session was left
}

// Feed takes input of the client. It feeds at most maxFeed octets in a turn, so that others
// have their turn; the rest waits. A library that can defer reading should not read the
// client while it HasUnfed.
func (c *Client) Feed(in []byte) {
	if c.fin || c.gone {
		return // discard it
	}
	a := c.adapter
	a.turnTimer.Begin()
	a.cfg.Counters.Reads.Add(1)
	a.cfg.Counters.BytesIn.Add(int64(len(in)))
	a.read += len(in)
	if c.fedIn != a.turns {
		c.fedIn, c.fed = a.turns, 0
	}
	c.feeding = true
	// Nothing is fed within a flush, because then no client could be written to in between.
	for len(in) > 0 && len(c.unfed) == 0 && c.fed < maxFeed && !a.flushing && !c.fin && !c.gone {
		c.fed += min(len(in), backends.FeedStep)
		in = c.step(in)
		a.mayFlush()
	}
	c.feeding = false
	c.queue(in)
	if _, closing := c.session.Closing(); closing {
		c.write() // now: if a FIN has come too, the library is about to close
	}
	a.turnTimer.End()
}

// HasUnfed says whether input of the client waits to be fed.
func (c *Client) HasUnfed() bool { return len(c.unfed) > 0 }

// step feeds the session one step and returns the rest of the input.
func (c *Client) step(in []byte) []byte {
	n := min(len(in), backends.FeedStep)
	c.session.Feed(in[:n])
	if c.writeFailed || c.ended.Load() != 0 {
		c.discard()
	}
	return in[n:]
}

// queue keeps input for the next turn.
func (c *Client) queue(in []byte) {
	if len(in) == 0 || c.fin || c.gone {
		return
	}
	if !c.queued {
		c.queued = true
		c.adapter.waiting = append(c.adapter.waiting, c)
		c.adapter.ring()
	}
	c.unfed = append(c.unfed, in...)
}

// feedRest feeds a step of the input that waits. After the last step the session is left, if
// the library has closed the connection.
func (c *Client) feedRest() {
	if _, closing := c.session.Closing(); closing || c.fin || c.gone {
		c.unfed = nil // discard it
	}
	if len(c.unfed) > 0 {
		c.unfed = c.step(c.unfed)
		c.adapter.mayFlush()
	}
	if len(c.unfed) > 0 || c.gone {
		return
	}
	c.unfed = nil
	if why := c.ended.Load(); why != 0 {
		c.leave(core.Reason(why - 1))
	}
}

// discard drops the output of a client that can be sent nothing more; Next then works
// through the input that the core holds.
func (c *Client) discard() {
	c.session.WriteFailed()
	c.session.Next()
}

// Flush sends what waits for the client now, for a library that closes the connection
// right after it has told of the client's FIN: the client may still be reading.
func (c *Client) Flush() { c.write() }

// Progress tells that the library has written some of what it had buffered.
func (c *Client) Progress() { c.adapter.post(c) }

// Ended tells that the library has closed the connection, and why. Only within the same
// callback of the library may Feed still be called, on the loop's goroutine.
func (c *Client) Ended(why core.Reason) {
	c.ended.Store(1 + uint32(why))
	c.adapter.post(c)
}

// handle does what a client was posted for.
func (c *Client) handle() {
	if c.gone {
		return
	}
	if why := c.ended.Load(); why != 0 {
		c.writeFailed, c.buffered = true, 0
		if !c.HasUnfed() { // otherwise feedRest calls leave
			c.leave(core.Reason(why - 1))
		}
		return
	}
	if c.buffered > 0 {
		c.pollSent()
	}
	if c.buffered == 0 {
		c.write()
		return
	}
	if _, closing := c.session.Closing(); closing {
		if !c.adapter.turning {
			c.adapter.post(c) // the library may be in the middle of this very connection
		} else if c.session.Next() == nil {
			c.finish() // it is cut off: the core gives nothing more
		}
	}
}

// write sends what waits for the client, and finishes the connection when a closing
// session has nothing more.
func (c *Client) write() {
	if c.buffered > 0 || c.writeFailed || c.fin || c.closed || c.sending {
		return
	}
	if c.feeding {
		c.adapter.post(c) // the library may be in the middle of reading it
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
		if !c.send(p) {
			return
		}
	}
}

// send gives the library octets piece by piece, each when the kernel has taken the piece
// before. Wrote is called once, because fewer octets than Next gave mean that the client
// takes no more. The result is false if not all octets were taken.
func (c *Client) send(p []byte) bool {
	sent := 0
	defer func() { c.session.Wrote(sent) }()
	for sent < len(p) {
		piece := p[sent:min(sent+c.offer, len(p))]
		c.sending = true
		n, err := c.conn.Send(piece)
		c.sending = false
		if err != nil {
			c.failWrites()
			return false
		}
		c.count(n)
		sent += n
		if n < len(piece) {
			c.adapter.cfg.Counters.Stalls.Add(1)
			c.buffered = len(piece) - n
			c.offer = c.adapter.lib.MinOffer
			c.noteBuffered()
			return false
		}
		if n == c.offer {
			c.offer = min(2*n, maxOffer)
		}
	}
	return true
}

// count counts octets that the kernel has taken.
func (c *Client) count(n int) {
	if n > 0 {
		counters := c.adapter.cfg.Counters
		counters.Writes.Add(1)
		counters.BytesOut.Add(int64(n))
	}
}

// noteBuffered has Sent called for the client in every turn, if the library does not call
// Progress.
func (c *Client) noteBuffered() {
	if c.adapter.lib.PollEvery > 0 && !c.listed {
		c.listed = true
		c.adapter.withBuffered = append(c.adapter.withBuffered, c)
	}
}

// pollSent asks how many of the buffered octets were sent, and goes on writing when none
// are left.
func (c *Client) pollSent() {
	if c.closed || c.writeFailed || c.gone {
		return
	}
	n, err := c.conn.Sent()
	if err != nil {
		c.failWrites()
		return
	}
	c.count(n)
	c.session.Wrote(n)
	if c.buffered -= n; c.buffered > 0 {
		return
	}
	if c.fin {
		c.conn.Finish()
		return
	}
	c.write()
}

// failWrites handles a write error. The client is still read: what it sent before, and
// its FIN or reset, are still to come.
func (c *Client) failWrites() {
	c.writeFailed, c.buffered = true, 0
	c.session.WriteFailed()
	c.linger()
}

// finish sends FIN after the last octet. The connection then waits for the client's FIN,
// because closing earlier could reset it and destroy data on its way.
func (c *Client) finish() {
	if c.fin {
		return
	}
	c.fin = true
	if c.buffered > 0 && c.adapter.lib.NoCopy {
		c.end(core.ReasonReset) // before the core reuses the octets that the library has
		return
	}
	if c.buffered == 0 && !c.writeFailed {
		c.conn.Finish()
	}
	c.linger()
}

// linger gives the connection Config.Linger to end by itself.
func (c *Client) linger() {
	if c.lingering {
		return
	}
	c.lingering = true
	why, _ := c.session.Closing()
	c.adapter.lingering.Push(c, time.Now(), c.adapter.cfg.Linger, why.TurnedAway())
}

// cut ends the connection, or leaves the session of one that the library has closed.
func (c *Client) cut() {
	if c.ended.Load() != 0 && c.HasUnfed() {
		c.unfed = nil
		c.leave(core.ReasonCut)
		return
	}
	c.end(core.ReasonCut)
}

// end makes the library close the connection now.
func (c *Client) end(why core.Reason) {
	if c.closed || c.gone {
		return
	}
	c.closed, c.why = true, why
	c.conn.Close()
}

// leave leaves the session of a connection that the library has closed.
func (c *Client) leave(why core.Reason) {
	if c.closed {
		why = c.why
	}
	c.gone = true
	c.session.Leave(why)
	c.adapter.remove(c)
}

// Gone says whether the session was left.
func (c *Client) Gone() bool { return c.gone }
