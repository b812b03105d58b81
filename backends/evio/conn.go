package evio

import (
	"sync/atomic"
	"time"

	lib "github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"chatbench/core"
)

const (
	feedMost  = 16 << 10 // octets of one client that are fed before others have their turn
	stashSize = 64 << 10 // input that waits before a client is handed nothing more
	handSize  = 1 << 20  // octets handed to evio at once, about

	// flushTime is how long evio may take to send a client's last words, as long
	// as the room gives a client whose last words are still its own.
	flushTime = 10 * time.Second
)

// conn is one connection.
type conn struct {
	loop    *loop
	evio    lib.Conn
	view    view
	fd      int // a duplicate of evio's descriptor
	session *core.Session
	place   int         // in loop.live
	mailed  atomic.Bool // is in loop.mail
	called  bool        // evio will call Data for it

	private bool   // may have output beside the log
	at      uint64 // up to here the log is handed, at least

	held    int  // octets handed to evio that it had not sent when last seen
	fresh   bool // handed since the loop last looked
	listed  bool // is in loop.open
	more    bool // is to be handed output again when that is sent
	inRound bool // the round waits for it
	stalled bool // the kernel takes nothing; rounds go on without it

	stash   []byte // input that waits until others have been written to, or read
	queued  bool   // is in loop.stashed
	eof     bool   // the client's FIN was read, but not by evio
	leaving bool   // it is to end; what it sends is thrown away
	fin     bool   // our FIN is sent
	hung    bool   // evio is to close it
	gone    bool   // evio has closed it
	parting bool   // and the session is left when the stash is fed, for
	why     core.Reason
	handed  time.Time // when it was first seen that evio has its last words, and cannot send them
}

// call has evio call Data with nothing for this connection, once. The loop
// rings the bell afterwards, so that it happens soon.
func (c *conn) call() {
	if !c.called {
		c.called = true
		c.evio.Wake()
	}
}

// settle counts what evio has sent since it was last looked at, and says how
// many octets it still has.
func (c *conn) settle() int {
	left := c.view.unsent()
	if took := c.held - left; took > 0 {
		c.loop.cfg.Counters.Writes.Add(1)
		c.loop.cfg.Counters.BytesOut.Add(int64(took))
		c.held = left
	}
	return left
}

// hand is all that the client is behind, for evio to send; nothing while evio
// has output of it, which would be replaced. It ends the connection when a
// closing session has no more.
func (c *conn) hand() (out []byte) {
	if c.fin || c.hung {
		return nil
	}
	if c.settle() > 0 {
		c.more = true
		return nil
	}
	_, closing := c.session.Closing()
	if closing || c.private {
		out = c.gather()
	} else if out = c.session.Next(); out != nil {
		c.loop.given, c.loop.givenSize = c, len(out)
		c.at += uint64(len(out))
		c.more = c.at < c.loop.cfg.Room.Said()
	}
	switch {
	case len(out) > 0:
		c.more = c.more || closing
		c.held, c.fresh = len(out), true
		c.loop.list(c)
		c.loop.bell.ring() // to see when it is sent
	case closing:
		c.finish()
	}
	return out
}

// gather copies together all pieces of output. It is for a session that was
// woken for itself: its own frames are a piece of their own.
func (c *conn) gather() []byte {
	c.private = false
	c.at = c.loop.cfg.Room.Said()
	out := c.loop.out[:0]
	for p := c.session.Next(); p != nil; p = c.session.Next() {
		out = append(out, p...)
		c.session.Wrote(len(p))
		if len(out) >= handSize {
			c.private, c.more = true, true
			break
		}
	}
	c.loop.out = out
	return out
}

// take feeds the session what its client has sent: little of it, and none once
// much has been said since the last round. The rest waits for the loop's next
// turn. evio does not watch for input of a client meanwhile, but does so anew
// when it has sent something.
func (c *conn) take(in []byte) {
	if _, closing := c.session.Closing(); c.leaving || closing {
		return // thrown away
	}
	l := c.loop
	l.cfg.Counters.Reads.Add(1)
	l.cfg.Counters.BytesIn.Add(int64(len(in)))
	if len(c.stash) == 0 {
		in = l.feed(c, in)
		if len(in) == 0 {
			return
		}
	}
	c.wait(in)
	c.watch()
}

// wait keeps input for a later turn.
func (c *conn) wait(in []byte) {
	c.stash = append(c.stash, in...)
	if !c.queued {
		c.queued = true
		c.loop.stashed = append(c.loop.stashed, c)
		c.loop.bell.ring()
	}
}

// watch has the loop wait for what this connection is waiting for.
func (c *conn) watch() {
	var events uint32
	if c.view.unsent() > 0 {
		events |= unix.EPOLLOUT
	}
	if !c.stalled && len(c.stash) == 0 {
		events |= unix.EPOLLIN
	}
	c.view.watch(events)
}

// stall takes note that the kernel takes nothing more of a client.
func (c *conn) stall() {
	c.stalled = true
	c.loop.stalls++
	c.loop.cfg.Counters.Stalls.Add(1)
	c.watch()
	c.endure()
}

// endure looks after a client that is stalled: the room is told that it takes
// nothing of what waits; one that is cut off may leave; and it is read, for
// evio does not read while it has output.
func (c *conn) endure() {
	why, closing := c.session.Closing() // before Next, which then gives the last words
	if c.session.Next() != nil {
		c.session.Wrote(0)
	} else if closing && c.givenUp(why) {
		c.leave()
	}
	if len(c.stash) > 0 {
		return
	}
	n, err := unix.Read(c.fd, c.loop.buf)
	switch {
	case n > 0:
		c.take(c.loop.buf[:n])
	case err != unix.EAGAIN && err != unix.EINTR:
		c.eof = err == nil
		c.hangUp()
	}
}

// givenUp says whether a closing client that takes nothing has had its time. The
// room has no more for it: either it was cut off, or evio has all of its last
// words and can only wait.
func (c *conn) givenUp(why core.Reason) bool {
	if c.handed.IsZero() {
		c.handed = time.Now()
	}
	return why == core.ReasonSlow || why == core.ReasonCut || time.Since(c.handed) > flushTime
}

// rest reads what a client sent before its connection ended, to be fed in turns
// to come. It is there even if that was found out by a write that failed; a peer
// that has reset the connection sends no more, so this ends, at the latest with
// what the kernel had room for.
func (c *conn) rest() {
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

// discard has nothing kept for a client that can be sent nothing more, and works
// through its input that waits.
func (c *conn) discard() {
	c.session.WriteFailed()
	c.session.Next()
}

// finish sends our FIN after the last octet; the connection then waits for the
// client's, so that closing does not reset it and destroy what is on its way.
func (c *conn) finish() {
	c.fin = true
	_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	c.leave()
}

// leave gives the connection a time to end by itself.
func (c *conn) leave() {
	if !c.leaving {
		c.leaving = true
		why, _ := c.session.Closing()
		c.loop.lingering.Push(c, time.Now(), c.loop.cfg.Linger, why.TurnedAway())
		if c.stash != nil {
			c.stash = nil
			c.watch() // for the client's FIN
		}
	}
}

// hangUp has evio close the connection: at once if it has no unsent output,
// else because it cannot send that any more. What the client sent is not read,
// so that it is told by a reset.
func (c *conn) hangUp() {
	c.leaving, c.hung = true, true
	c.stash = nil
	if c.settle() > 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		return
	}
	c.call()
	c.loop.bell.ring()
}
