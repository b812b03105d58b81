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
	session *core.Session
	place   int         // in loop.live
	mailed  atomic.Bool // is in loop.mail
	stage   stage
	head    *head         // while it is opening
	kid     *kid          // nil: there is none for it yet
	socket  int           // -1: a child has it, or the forker
	blocked bool          // the pipe took less than was offered
	paused  bool          // is not read: its session is Held
	awaited bool          // input is held back for it
	leaving bool          // nothing more is written; the child is to end
	gone    bool          // Leave was called
	until   time.Time     // when leaving ends
	tardy   time.Time     // until when input is not held back for it
	vain    time.Duration // how long that was last; 0: it has taken all since
}

// readPipe takes what a client has sent, a little in a turn.
func (l *loop) readPipe(c *client) {
	if n, err := l.readSteps(c); n == 0 && err != unix.EAGAIN {
		l.closeEnd(&c.kid.up)
		l.told(c)
	}
}

// readSteps feeds a client's session from its pipe, in steps between which others
// are written to if much was said: up to turnSteps of them, and none while input
// is held back, which is EAGAIN as well. n is what the last read brought.
func (l *loop) readSteps(c *client) (n int, err error) {
	for range turnSteps {
		if l.hold.active() {
			return 0, unix.EAGAIN
		}
		n, err = quick(unix.SYS_READ, c.kid.up, l.buf)
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

// pauseOrResume stops reading a client whose session is Held, and goes on when it
// is not any more. When a child ends meanwhile, the descriptor of its process
// tells, and what is in its pipe is read to the end.
func (l *loop) pauseOrResume(c *client) {
	held := c.session.Held() && !c.gone && !c.leaving
	if held == c.paused || c.kid == nil || c.kid.up < 0 {
		return
	}
	c.paused = held
	events := uint32(unix.EPOLLIN)
	if held {
		events = 0
	}
	if err := l.inputs.modify(c.kid.up, events); err != nil {
		l.lines.Warn(l.cfg.Log, "a client's pipes cannot be watched", "peer", c.session.Peer(), "err", err)
		l.kill(c)
	}
}

func (l *loop) feed(c *client, in []byte) {
	if c.gone {
		return
	}
	if _, closing := c.session.Closing(); closing {
		return // thrown away
	}
	l.cfg.Counters.Reads.Add(1)
	l.cfg.Counters.BytesIn.Add(int64(len(in)))
	l.read += len(in)
	c.session.Feed(in)
}

// attend looks after a session that has output of its own or must close.
func (l *loop) attend(c *client) {
	switch {
	case c.gone:
		return
	case c.kid == nil:
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
	// It is cut off: what the pipe has not taken is not sent.
	if why == core.ReasonSlow {
		l.kill(c)
	} else {
		l.finish(c)
	}
}

// unblock goes on writing to a pipe that was full.
func (l *loop) unblock(c *client) {
	if c.blocked {
		c.blocked = false
		l.write(c)
	}
}

// write gives the pipe what waits for a client, and ends the output when a
// closing session has no more.
func (l *loop) write(c *client) {
	if c.leaving || c.gone || c.kid == nil {
		return
	}
	_, closing := c.session.Closing() // before Next, which then gives the last words
	for {
		p := c.session.Next()
		if p == nil {
			break
		}
		n, err := quick(unix.SYS_WRITE, c.kid.down, p)
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
		c.blocked = true // until the poller says that the child has read
		l.await(c)
		if c.paused {
			l.pauseOrResume(c) // Next may have worked through what waited
		}
		return
	}
	l.caughtUp(c)
	c.vain = 0
	if c.paused {
		l.pauseOrResume(c) // Next may have worked through what waited
	}
	if closing {
		l.finish(c)
	}
}

// told takes the end of what comes from a child: it has sent FIN to its client,
// or has its client's, or it has died.
func (l *loop) told(c *client) {
	why, closing := c.session.Closing()
	switch {
	case c.leaving:
		wait := l.cfg.Linger
		if why.TurnedAway() {
			wait = min(wait, linger.Brief)
		}
		l.lingering.set(c, time.Now().Add(wait))
	case !closing: // one that is closing is still sent its last words
		l.finish(c)
	}
}

// finish ends what a client is sent. The child sends FIN when that is done, and
// exits after the client's.
func (l *loop) finish(c *client) {
	if c.leaving {
		return
	}
	c.leaving = true
	l.caughtUp(c)
	if c.paused {
		l.pauseOrResume(c)
	}
	l.closeEnd(&c.kid.down)
	wait := lastWords
	if c.kid.up < 0 { // the client's FIN is there
		wait = l.cfg.Linger
	}
	l.lingering.set(c, time.Now().Add(wait))
}

// kill ends a client by ending its child. It has gone when that is reaped.
func (l *loop) kill(c *client) {
	c.leaving = true
	l.caughtUp(c)
	c.kid.kill()
}

// leave takes a client out of the room and off the list.
func (l *loop) leave(c *client, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.move(c, away)
	l.caughtUp(c)
	l.closeEnd(&c.socket)
	c.session.Leave(why)
	last := len(l.live) - 1
	l.live[c.place] = l.live[last]
	l.live[c.place].place = c.place
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every client at once.
func (l *loop) cutAll() {
	for len(l.live) > 0 {
		c := l.live[len(l.live)-1]
		l.leave(c, core.ReasonCut)
		if c.kid != nil {
			l.kill(c)
		}
	}
}

// lastWords is how long a child may take to send its client what is in the pipe
// when that is closed. The kernel gives up a client that takes nothing sooner, so
// that only one that was stopped takes longer.
const lastWords = time.Minute

// lingerers are the clients whose children are to end by themselves, each by
// its time.
type lingerers struct {
	clients []*client
	next    time.Time // no client's time ends before
}

func (q *lingerers) len() int { return len(q.clients) }

// set gives a client its time, or another.
func (q *lingerers) set(c *client, until time.Time) {
	if c.until.IsZero() {
		q.clients = append(q.clients, c)
	}
	c.until = until
	if len(q.clients) == 1 || until.Before(q.next) {
		q.next = until
	}
}

// killLingering ends those whose time is over.
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
		case c.kid == nil:
			l.leave(c, core.ReasonReset)
		default:
			if c.kid.up < 0 { // it lives, so it was its client's FIN, or the session is closing
				l.leave(c, core.ReasonEOF)
			}
			l.kill(c)
		}
	}
	clear(all[len(q.clients):])
}
