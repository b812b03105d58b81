package evio

import (
	"sync/atomic"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"chatbench/core"
)

const (
	maxFeed   = 16 << 10 // octets of one client that are fed in a turn
	maxUnfed  = 64 << 10 // while more input than this waits, a client is given no output
	maxOutput = 1 << 20  // octets given to evio at once, about

	// flushTime is how long evio may take to send a client's last words. The room allows the
	// same time for last words that it still has.
	flushTime = 10 * time.Second
)

// conn is one connection.
type conn struct {
	loop          *loop
	evio          lib.Conn
	view          view
	fd            int // a duplicate of evio's descriptor
	session       *core.Session
	index         int         // in loop.live
	inWakes       atomic.Bool // is in loop.wakes
	dataRequested bool        // evio will call Data for it

	private  bool   // may have output that is not in the log
	handedTo uint64 // the position in the log up to which evio was given it, at least

	buffered   int  // octets given to evio that it had not sent when last asked
	justHanded bool // was given output since the last look
	listed     bool // is in loop.open
	hasMore    bool // has to be given more output when evio has sent this
	inRound    bool // the round waits for it
	stalled    bool // the kernel takes nothing; rounds go on without it

	unfed          []byte // input that waits until others have been written to, or read
	queued         bool   // is in loop.waiting
	eof            bool   // the client's FIN was read here, not by evio
	leaving        bool   // is in loop.lingering; input is discarded
	fin            bool   // our FIN is sent
	closeRequested bool   // evio has to close it
	gone           bool   // evio has closed it
	closedUnfed    bool   // evio has closed it, and unfed is still to be fed
	why            core.Reason
	lastWordsAt    time.Time // when evio first had the last words and could not send them
}

// requestData makes evio call Data without input for this connection, once. The caller
// rings the bell afterwards, so that it happens soon.
func (c *conn) requestData() {
	if !c.dataRequested {
		c.dataRequested = true
		c.evio.Wake()
	}
}

// settle counts what evio has sent since the last call, and returns how many octets it still
// has.
func (c *conn) settle() int {
	left := c.view.unsent()
	if took := c.buffered - left; took > 0 {
		c.loop.cfg.Counters.Writes.Add(1)
		c.loop.cfg.Counters.BytesOut.Add(int64(took))
		c.buffered = left
	}
	return left
}

// nextOutput returns everything that the client is behind, for evio to send; nothing while
// evio still has output of the client, which would be replaced. It finishes the connection
// when a closing session has nothing more.
func (c *conn) nextOutput() (out []byte) {
	if c.fin || c.closeRequested {
		return nil
	}
	if c.settle() > 0 {
		c.hasMore = true
		return nil
	}
	_, closing := c.session.Closing()
	if closing || c.private {
		out = c.gatherOutput()
	} else if out = c.session.Next(); out != nil {
		c.loop.given, c.loop.givenSize = c, len(out)
		c.handedTo += uint64(len(out))
		c.hasMore = c.handedTo < c.loop.cfg.Room.Said()
	}
	switch {
	case len(out) > 0:
		c.hasMore = c.hasMore || closing
		c.buffered, c.justHanded = len(out), true
		c.loop.list(c)
		c.loop.bell.ring() // to see when it is sent
	case closing:
		c.finish()
	}
	return out
}

// gatherOutput copies all pieces of output into one. It is for a session that may have
// frames of its own, which are not in the log.
func (c *conn) gatherOutput() []byte {
	c.private = false
	c.handedTo = c.loop.cfg.Room.Said()
	out := c.loop.out[:0]
	for p := c.session.Next(); p != nil; p = c.session.Next() {
		out = append(out, p...)
		c.session.Wrote(len(p))
		if len(out) >= maxOutput {
			c.private, c.hasMore = true, true
			break
		}
	}
	c.loop.out = out
	return out
}

// receive feeds the session a part of what its client has sent, and nothing once much was
// said since the last round began. The rest waits for the loop's next turn. Meanwhile evio
// does not watch the client for input, except that evio itself watches it again after it has
// sent something.
func (c *conn) receive(in []byte) {
	if _, closing := c.session.Closing(); c.leaving || closing {
		return // discard it
	}
	l := c.loop
	l.cfg.Counters.Reads.Add(1)
	l.cfg.Counters.BytesIn.Add(int64(len(in)))
	if len(c.unfed) == 0 {
		in = l.feed(c, in)
		if len(in) == 0 {
			return
		}
	}
	c.wait(in)
	c.watch()
}

// wait queues input for a later turn.
func (c *conn) wait(in []byte) {
	c.unfed = append(c.unfed, in...)
	if !c.queued {
		c.queued = true
		c.loop.waiting = append(c.loop.waiting, c)
		c.loop.bell.ring()
	}
}

// watch sets the events for which evio's loop watches this connection.
func (c *conn) watch() {
	var events uint32
	if c.view.unsent() > 0 {
		events |= unix.EPOLLOUT
	}
	if !c.stalled && len(c.unfed) == 0 {
		events |= unix.EPOLLIN
	}
	c.view.watch(events)
}

// stall notes that the kernel takes nothing more for a client.
func (c *conn) stall() {
	c.stalled = true
	c.loop.stalls++
	c.loop.cfg.Counters.Stalls.Add(1)
	c.watch()
	c.pollStalled()
}

// pollStalled handles a stalled client: it reports to the room that the client takes
// nothing, ends a client that is cut off, and reads the client, since evio does not read while
// it has output.
func (c *conn) pollStalled() {
	why, closing := c.session.Closing() // before Next, which then gives the last words
	if c.session.Next() != nil {
		c.session.Wrote(0)
	} else if closing && c.timedOut(why) {
		c.leave()
	}
	if len(c.unfed) > 0 {
		return
	}
	n, err := unix.Read(c.fd, c.loop.buf)
	switch {
	case n > 0:
		c.receive(c.loop.buf[:n])
	case err != unix.EAGAIN && err != unix.EINTR:
		c.eof = err == nil
		c.hangUp()
	}
}

// timedOut says whether a closing client that takes nothing has had its time. The room has no
// more output for it: either it was cut off, or evio has its last words.
func (c *conn) timedOut(why core.Reason) bool {
	if c.lastWordsAt.IsZero() {
		c.lastWordsAt = time.Now()
	}
	return why == core.ReasonSlow || why == core.ReasonCut || time.Since(c.lastWordsAt) > flushTime
}

// readRest reads what a client sent before its connection ended, to be fed in later turns.
// The input is there even if a failed write has revealed the end. A peer that has reset the
// connection sends no more, so this ends, at the latest when the kernel's buffer is empty.
func (c *conn) readRest() {
	for !c.leaving {
		n, err := unix.Read(c.fd, c.loop.buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		c.loop.cfg.Counters.Reads.Add(1)
		c.loop.cfg.Counters.BytesIn.Add(int64(n))
		c.wait(c.loop.buf[:n])
	}
}

// discard drops the output of a client that can be sent nothing more; Next then works through
// the input that the core holds.
func (c *conn) discard() {
	c.session.WriteFailed()
	c.session.Next()
}

// finish sends FIN after the last octet. The connection then waits for the client's FIN,
// because closing earlier could reset it and destroy data on its way.
func (c *conn) finish() {
	c.fin = true
	_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	c.leave()
}

// leave gives the connection Config.Linger to end by itself.
func (c *conn) leave() {
	if !c.leaving {
		c.leaving = true
		why, _ := c.session.Closing()
		c.loop.lingering.Push(c, time.Now(), c.loop.cfg.Linger, why.TurnedAway())
		if c.unfed != nil {
			c.unfed = nil
			c.watch() // for the client's FIN
		}
	}
}

// hangUp makes evio close the connection: by requesting it if evio has no unsent output,
// otherwise by making its next write fail. Input is left unread, so that the client gets a
// reset.
func (c *conn) hangUp() {
	c.leaving, c.closeRequested = true, true
	c.unfed = nil
	if c.settle() > 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		return
	}
	c.requestData()
	c.loop.bell.ring()
}
