package uring

import (
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/ring"
	"chatbench/core"
)

// received is something to work through for a connection: what a completion of its
// receive has brought, or that it may go on with what waits in it.
type received struct {
	conn    *conn
	resumed bool
	res     int32 // octets that have come, 0 for the end, or an error
	buffer  uint16
	full    bool // buffer has the octets, and is to be given back
}

// receive has the kernel receive what a client sends, if it is to be read and the
// kernel does not do so already.
func (l *loop) receive(c *conn) {
	if c.receiving || c.ended || c.paused || c.gone || len(c.backlog) > 0 {
		return
	}
	c.receiving = true
	l.ring.Receive(c.fd, bufferGroup, user(c.fd, forReceive))
}

// stopReceiving ends the receive of a client, some time soon.
func (l *loop) stopReceiving(c *conn) {
	if c.receiving {
		l.ring.Cancel(user(c.fd, forReceive), user(c.fd, forStopReceive))
	}
}

// received notes what a completion of a receive has brought.
func (l *loop) received(c *conn, done *ring.CQE) {
	in := received{conn: c, res: done.Res}
	in.buffer, in.full = done.Buffer()
	if !done.More() {
		c.receiving = false
		switch {
		case done.Res == 0:
			c.ended = true
		case done.Res < 0:
			c.ended = !goesOn(done.Err())
		}
	}
	if !c.gone {
		l.input = append(l.input, in)
		return
	}
	if in.full {
		c.unread = true
		l.buffers.GiveBack(in.buffer)
	}
	l.release(c)
}

// goesOn says whether a client can be received from again after an error: there was no
// buffer, or the receive was cancelled.
func goesOn(err unix.Errno) bool {
	return err == unix.ENOBUFS || err == unix.ECANCELED || err == unix.EINTR
}

// takeInput works through all that has come.
func (l *loop) takeInput() {
	for i := 0; i < len(l.input); i++ { // it may grow
		l.take(l.input[i])
	}
	clear(l.input)
	l.input = l.input[:0]
}

func (l *loop) take(in received) {
	c := in.conn
	if in.full {
		if in.res > 0 && !c.leaving && !c.gone {
			l.cfg.Counters.Reads.Add(1)
			l.cfg.Counters.BytesIn.Add(int64(in.res))
			l.hear(c, l.buffers.Octets(in.buffer, int(in.res)))
		}
		l.buffers.GiveBack(in.buffer)
	}
	switch {
	case c.gone:
		return
	case in.resumed:
		l.resume(c)
	case in.res == 0:
		l.endOfInput(c)
	case in.res < 0 && !goesOn(unix.Errno(-in.res)):
		l.drop(c, core.ReasonReset)
	}
	l.receive(c)
}

// hear takes what a client has sent: it is fed, or it waits.
func (l *loop) hear(c *conn, in []byte) {
	if c.paused || len(c.backlog) > 0 {
		c.backlog = append(c.backlog, in...)
		return
	}
	l.feed(c, in)
}

// feed hands on what a client has sent, in steps. Between two steps clients may
// be written to, and that can end the one that is being read. What is left when its
// session is Held waits.
func (l *loop) feed(c *conn, in []byte) {
	for len(in) > 0 && !c.leaving && !c.gone {
		step := min(len(in), backends.FeedStep)
		l.member.Feeding()
		c.session.Feed(in[:step])
		in = in[step:]
		l.read += step
		l.catchUp()
		if c.session.Held() && !c.leaving && !c.gone {
			c.backlog = append(c.backlog, in...)
			break
		}
	}
	l.pauseOrResume(c)
}

// catchUp is called after each step of input. It writes to the clients if much
// has been said since the loop last did, and lets other loops do the same.
func (l *loop) catchUp() {
	if l.read > turnOctets || l.behind() {
		l.flush()
	}
	l.member.Pace(l)
}

// behind says whether much was said since the loop last wrote it.
func (l *loop) behind() bool {
	return l.member.Behind(l.cfg.Room.Said())
}

// pauseOrResume stops reading a client whose session is Held, and goes on when it
// is not any more.
func (l *loop) pauseOrResume(c *conn) {
	held := c.session.Held()
	if held == c.paused || c.leaving || c.gone {
		return
	}
	c.paused = held
	if held {
		l.held.Add(c)
		l.stopReceiving(c)
		return
	}
	l.input = append(l.input, received{conn: c, resumed: true})
}

// resume goes on with a client whose session is not Held any more.
func (l *loop) resume(c *conn) {
	if c.paused || c.leaving {
		return // not any more
	}
	in := c.backlog
	c.backlog = nil
	l.feed(c, in)
	if c.eof && !c.paused && !c.leaving && !c.gone {
		l.endOfInput(c)
	}
}

// endOfInput handles a client's FIN.
func (l *loop) endOfInput(c *conn) {
	c.eof = true
	_, closing := c.session.Closing()
	switch {
	case c.reset:
		l.drop(c, core.ReasonReset)
	case c.leaving:
		l.drop(c, core.ReasonEOF)
	case closing && !c.blocked:
		l.write(c) // its last words come first
	case !closing && (c.paused || len(c.backlog) > 0):
		// What it sent before comes first.
	default:
		l.drop(c, core.ReasonEOF)
	}
}
