package uring

import (
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/ring"
	"chatbench/core"
)

// received is input of a connection: from a completion of its receive, or, if resumed, what waits in
// its backlog.
type received struct {
	conn    *conn
	resumed bool
	res     int32 // octets received, 0 for the end, or an error
	buffer  uint16
	full    bool // buffer has the octets, and has to be given back
	last    bool // the receive has ended with it
}

// receive starts a receive, if the client has to be read and none is in flight.
func (l *loop) receive(c *conn) {
	if c.receiving || c.ended || c.paused || c.gone || len(c.backlog) > 0 {
		return
	}
	c.receiving = true
	l.ring.Receive(c.fd, bufferGroup, userData(c.fd, forReceive))
}

// stopReceiving cancels the receive of a client.
func (l *loop) stopReceiving(c *conn) {
	if c.receiving {
		l.ring.Cancel(userData(c.fd, forReceive), userData(c.fd, forStopReceive))
	}
}

// received queues the input of a completion.
func (l *loop) received(c *conn, done *ring.CQE) {
	in := received{conn: c, res: done.Res}
	in.buffer, in.full = done.Buffer()
	if !done.More() {
		c.receiving, in.last = false, true
		switch {
		case done.Res == 0:
			c.ended = true
		case done.Res < 0:
			c.ended = !canReceiveAgain(done.Err())
		}
	}
	if !c.gone {
		l.input = append(l.input, in)
		return
	}
	if in.full {
		c.discarded = true
		l.buffers.GiveBack(in.buffer)
	}
	l.release(c)
}

// canReceiveAgain says whether a receive may be repeated after an error: there was no buffer, or the
// receive was cancelled.
func canReceiveAgain(err unix.Errno) bool {
	return err == unix.ENOBUFS || err == unix.ECANCELED || err == unix.EINTR
}

// takeInput handles all input, and then repeats the receives that have ended: see "When the buffers run
// out".
func (l *loop) takeInput() {
	for i := 0; i < len(l.input); i++ { // the list may grow
		l.take(l.input[i])
	}
	clear(l.input)
	l.input = l.input[:0]
	for i, c := range l.again {
		l.again[i] = nil
		l.receive(c)
	}
	l.again = l.again[:0]
}

func (l *loop) take(in received) {
	c := in.conn
	if in.full {
		if in.res > 0 && !c.finSent && !c.gone {
			l.cfg.Counters.Reads.Add(1)
			l.cfg.Counters.BytesIn.Add(int64(in.res))
			l.feedOrQueue(c, l.buffers.Octets(in.buffer, int(in.res)))
			l.peers.Add(c) // its receive may have missed an end behind this input
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
	case in.res < 0 && !canReceiveAgain(unix.Errno(-in.res)):
		l.drop(c, core.ReasonReset)
	}
	if in.last || in.resumed {
		l.again = append(l.again, c)
	}
}

// feedOrQueue feeds input of a client, or appends it to the backlog if there is one.
func (l *loop) feedOrQueue(c *conn, in []byte) {
	if c.paused || len(c.backlog) > 0 {
		c.backlog = append(c.backlog, in...)
		return
	}
	l.feed(c, in)
}

// feed feeds what a client has sent, in steps. Between two steps the loop may write to its clients,
// and that can end the client that is being fed. When its session is Held, the rest waits in the
// backlog.
func (l *loop) feed(c *conn, in []byte) {
	for len(in) > 0 && !c.finSent && !c.gone {
		step := min(len(in), backends.FeedStep)
		l.member.BeginFeeding()
		c.session.Feed(in[:step])
		in = in[step:]
		l.read += step
		l.catchUp()
		if c.session.Held() && !c.finSent && !c.gone {
			c.backlog = append(c.backlog, in...)
			break
		}
	}
	l.pauseOrResume(c)
}

// catchUp is called after each step of input. It flushes if much was said since the last flush, and
// waits if other loops have to do so.
func (l *loop) catchUp() {
	if l.read > turnOctets || l.behind() {
		l.flush()
	}
	l.member.Pace(l)
}

// behind says whether much was said that the loop has not begun to write.
func (l *loop) behind() bool {
	return l.member.Behind(l.cfg.Room.Said())
}

// pauseOrResume stops reading a client whose session is Held, and reads it again when it is not
// Held any more.
func (l *loop) pauseOrResume(c *conn) {
	held := c.session.Held()
	if held == c.paused || c.finSent || c.gone {
		return
	}
	c.paused = held
	if held {
		l.peers.Add(c)
		l.stopReceiving(c)
		return
	}
	l.input = append(l.input, received{conn: c, resumed: true})
}

// resume feeds the backlog of a client whose session is not Held any more.
func (l *loop) resume(c *conn) {
	if c.paused || c.finSent {
		return // that has changed meanwhile
	}
	in := c.backlog
	c.backlog = nil
	l.feed(c, in)
	if c.eof && !c.paused && !c.finSent && !c.gone {
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
	case c.finSent:
		l.drop(c, core.ReasonEOF)
	case closing && !c.blocked:
		l.write(c) // the last output comes first
	case !closing && (c.paused || len(c.backlog) > 0):
		// The input before it comes first.
	default:
		l.drop(c, core.ReasonEOF)
	}
}
