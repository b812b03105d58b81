package process

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/linger"
	"chatbench/core"
)

// client is one connection.
type client struct {
	session     *core.Session
	index       int         // in loop.live
	inWakes     atomic.Bool // is in loop.wakes
	stage       stage
	preamble    *preamble     // while it is opening
	child       *childProc    // nil: it has none yet
	socket      int           // -1: a child or the forker owns it
	blocked     bool          // the pipe took less than was offered
	paused      bool          // not read, because its session is Held
	awaited     bool          // input pauses for it
	leaving     bool          // nothing more is written, and the child has to end
	gone        bool          // Leave was called
	until       time.Time     // when it is killed; zero: it is not in loop.lingering
	exemptUntil time.Time     // until when input does not pause for it
	exemptFor   time.Duration // how long it was exempt last; 0: it has taken everything since
}

// readPipe reads what a client has sent, a part in each turn.
func (l *loop) readPipe(c *client) {
	if n, err := l.readSteps(c); n == 0 && err != unix.EAGAIN {
		l.closeFD(&c.child.fromChild)
		l.inputEnded(c)
	}
}

// readSteps feeds a client's session from its pipe, in at most turnSteps steps. Between two
// steps it flushes if much was said. While input pauses it returns EAGAIN. n is how many octets the
// last read returned.
func (l *loop) readSteps(c *client) (n int, err error) {
	for range turnSteps {
		if l.inputPause.active() {
			return 0, unix.EAGAIN
		}
		n, err = rawCall(unix.SYS_READ, c.child.fromChild, l.buf)
		if err == unix.EINTR {
			return 0, unix.EAGAIN
		}
		if n == 0 {
			return 0, err
		}
		l.feed(c, l.buf[:n])
		if l.pauseOrResume(c); c.paused {
			return 0, unix.EAGAIN
		}
		l.flushIfMuch()
		if n < len(l.buf) {
			return n, nil
		}
	}
	return n, err
}

// pauseOrResume stops reading a client whose session is Held, and reads it again when it is not
// Held any more. If its child ends meanwhile, its pidfd becomes readable, and then its pipe is
// read to the end.
func (l *loop) pauseOrResume(c *client) {
	held := c.session.Held() && !c.gone && !c.leaving
	if held == c.paused || c.child == nil || c.child.fromChild < 0 {
		return
	}
	c.paused = held
	events := uint32(unix.EPOLLIN)
	if held {
		events = 0
	}
	if err := l.inputs.modify(c.child.fromChild, events); err != nil {
		l.logLimit.Warn(l.cfg.Log, "a client's pipes cannot be watched", "peer", c.session.Peer(), "err", err)
		l.kill(c)
	}
}

func (l *loop) feed(c *client, in []byte) {
	if c.gone {
		return
	}
	if _, closing := c.session.Closing(); closing {
		return // discard it
	}
	l.cfg.Counters.Reads.Add(1)
	l.cfg.Counters.BytesIn.Add(int64(len(in)))
	l.read += len(in)
	c.session.Feed(in)
}

// handleWoken handles a session that has output of its own, or must close.
func (l *loop) handleWoken(c *client) {
	switch {
	case c.gone:
		return
	case c.child == nil:
		l.decided(c)
		return
	case !c.blocked:
		l.write(c)
		return
	}
	why, closing := c.session.Closing()
	if !closing || c.leaving || c.session.Next() != nil {
		return
	}
	// The core gives nothing more: what the pipe has not taken is not sent.
	if why == core.ReasonSlow {
		l.kill(c)
	} else {
		l.finish(c)
	}
}

// unblock writes again to a pipe that was full.
func (l *loop) unblock(c *client) {
	if c.blocked {
		c.blocked = false
		l.write(c)
	}
}

// write writes what waits for a client to its pipe, and finishes the client when a closing
// session has nothing more.
func (l *loop) write(c *client) {
	if c.leaving || c.gone || c.child == nil {
		return
	}
	_, closing := c.session.Closing() // before Next, which then returns the last output
	for {
		p := c.session.Next()
		if p == nil {
			break
		}
		n, err := rawCall(unix.SYS_WRITE, c.child.toChild, p)
		if n > 0 {
			l.cfg.Counters.Writes.Add(1)
			l.cfg.Counters.BytesOut.Add(int64(n))
		}
		c.session.Wrote(n)
		switch {
		case n == len(p) || err == unix.EINTR:
			continue
		case err != nil && err != unix.EAGAIN:
			c.session.WriteFailed()
			l.kill(c) // it has died already
			return
		}
		l.cfg.Counters.Stalls.Add(1)
		c.blocked = true // until the child has read from the pipe
		l.pauseInputFor(c)
		if c.paused {
			l.pauseOrResume(c) // Next may have fed the input that waited
		}
		return
	}
	l.caughtUp(c)
	c.exemptFor = 0
	if c.paused {
		l.pauseOrResume(c) // Next may have fed the input that waited
	}
	if closing {
		l.finish(c)
	}
}

// inputEnded handles the end of the pipe from a child: the child has sent FIN to its client, has
// received the client's FIN, or has died.
func (l *loop) inputEnded(c *client) {
	why, closing := c.session.Closing()
	switch {
	case c.leaving:
		wait := l.cfg.Linger
		if why.TurnedAway() {
			wait = min(wait, linger.Brief)
		}
		l.lingering.set(c, time.Now().Add(wait))
	case !closing: // otherwise the client is still sent what is left
		l.finish(c)
	}
}

// finish closes the pipe to a child. The child sends FIN when it has sent everything, and exits
// after the client's FIN.
func (l *loop) finish(c *client) {
	if c.leaving {
		return
	}
	c.leaving = true
	l.caughtUp(c)
	if c.paused {
		l.pauseOrResume(c)
	}
	l.closeFD(&c.child.toChild)
	wait := flushTime
	if c.child.fromChild < 0 { // the client has sent FIN
		wait = l.cfg.Linger
	}
	l.lingering.set(c, time.Now().Add(wait))
}

// kill ends a client by killing its child. The client leaves when the child is reaped.
func (l *loop) kill(c *client) {
	c.leaving = true
	l.caughtUp(c)
	c.child.kill()
}

// leave leaves a client's session and removes it from the list.
func (l *loop) leave(c *client, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.move(c, refused)
	l.caughtUp(c)
	l.closeFD(&c.socket)
	c.session.Leave(why)
	last := len(l.live) - 1
	l.live[c.index] = l.live[last]
	l.live[c.index].index = c.index
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every client at once.
func (l *loop) cutAll() {
	for len(l.live) > 0 {
		c := l.live[len(l.live)-1]
		l.leave(c, core.ReasonCut)
		if c.child != nil {
			l.kill(c)
		}
	}
}

// flushTime is how long a child may take to send what is in its pipe when that is closed. The
// kernel gives up a client that takes nothing earlier than that, so only a child that was stopped
// takes longer.
const flushTime = time.Minute

// lingerers are the clients whose children have to end by themselves within a time.
type lingerers struct {
	clients []*client
	next    time.Time // when the first time ends, or earlier
}

func (q *lingerers) len() int { return len(q.clients) }

// set sets or changes the time of a client.
func (q *lingerers) set(c *client, until time.Time) {
	if c.until.IsZero() {
		q.clients = append(q.clients, c)
	}
	c.until = until
	if len(q.clients) == 1 || until.Before(q.next) {
		q.next = until
	}
}

// killLingering kills the children whose time is over.
func (l *loop) killLingering(now time.Time) {
	q := &l.lingering
	if now.Before(q.next) {
		return
	}
	all := q.clients
	q.clients = q.clients[:0]
	for _, c := range all {
		until := c.until
		c.until = time.Time{}
		switch {
		case c.gone:
		case now.Before(until):
			q.set(c, until)
		case c.child == nil:
			l.leave(c, core.ReasonReset)
		default:
			if c.child.fromChild < 0 { // the child lives, so its client has sent FIN, or the session is closing
				l.leave(c, core.ReasonEOF)
			}
			l.kill(c)
		}
	}
	clear(all[len(q.clients):])
}
