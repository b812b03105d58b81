package process

import (
	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

// A client gets a child when its login is granted. Until then the loop reads it, so that a client
// without an account, or one that sends nothing, costs a descriptor and no process. The loop
// reads exactly the first frame, which is the login, so that the child begins with a whole
// frame. What the client sends while its login is decided waits in the socket. If the client
// leaves meanwhile, the loop reads that too.

// stage is the stage of a client.
type stage uint8

const (
	opening      stage = iota // the loop reads its preamble
	deciding                  // its login is being decided; the loop watches for its FIN
	queued                    // waits in loop.queue, because maxRequested children are requested
	served                    // it has a child, or one is being forked for it
	readingToEnd              // it left while its login was decided; the loop reads what it sent
	refused                   // our FIN is sent, and the loop waits for the client's
)

// promised says that the client will get a child if its login is granted.
func (s stage) promised() bool { return s == deciding || s == queued }

// move moves a client to a stage, and counts the clients that are promised a child.
func (l *loop) move(c *client, to stage) {
	if c.stage.promised() {
		l.promised--
	}
	if to.promised() {
		l.promised++
	}
	c.stage = to
}

// preamble finds the end of what the loop reads of a client: a PROXY header, if there is one, and
// the first frame.
type preamble struct {
	header  header
	decoder wire.Decoder
}

// take returns how many of the next octets belong to the preamble, and whether it is complete
// with them. After an invalid frame it is never complete, and the room ends the client.
func (p *preamble) take(in []byte) (n int, whole bool) {
	_, rest, whole, err := p.decoder.Next(p.header.skip(in))
	if err != nil {
		return len(in), false
	}
	return len(in) - len(rest), whole
}

// begin begins to read a new client.
func (l *loop) begin(c *client) {
	c.preamble = &preamble{decoder: wire.Decoder{Max: l.forker.maxFrame}}
	if err := l.inputs.add(c.socket, unix.EPOLLIN, func() { l.readOpening(c) }); err != nil {
		l.logLimit.Warn(l.cfg.Log, "a client cannot be watched", "peer", c.session.Peer(), "err", err)
		l.leave(c, core.ReasonReset)
	}
}

// readOpening reads the preamble of a client, or its end.
func (l *loop) readOpening(c *client) {
	if c.stage != opening {
		l.readToEnd(c)
		return
	}
	n, err := receive(c.socket, l.buf, unix.MSG_PEEK)
	if n == 0 {
		l.left(c, err)
		return
	}
	n, whole := c.preamble.take(l.buf[:n])
	if got, err := receive(c.socket, l.buf[:n], 0); got != n {
		l.left(c, err) // cannot happen on Linux: the octets were there
		return
	}
	if whole {
		if !l.hasTasks() { // now, so that it is not granted and then cut off
			c.session.TurnAway()
		}
		c.preamble = nil
		l.move(c, deciding)
		if err := l.inputs.modify(c.socket, unix.EPOLLRDHUP); err != nil {
			panic("process: the poller does not watch a client that it should: " + err.Error())
		}
	}
	l.feed(c, l.buf[:n])
	l.flushIfMuch()
}

// readToEnd reads everything that a client has sent that left while its login was decided. If
// the login is granted by now, the child reads it.
func (l *loop) readToEnd(c *client) {
	if c.stage == deciding && c.session.State() == core.StateGrant {
		return
	}
	l.move(c, readingToEnd)
	for {
		n, err := receive(c.socket, l.buf, 0)
		if n == 0 {
			l.left(c, err)
			return
		}
		l.feed(c, l.buf[:n])
		l.flushIfMuch()
	}
}

// left handles the end of a client that has no child, or a read error.
func (l *loop) left(c *client, err error) {
	_, closing := c.session.Closing()
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: // it has not ended
	case err != nil:
		l.leave(c, core.ReasonReset)
	case closing:
		l.refuse(c) // it is still sent what is left
	default:
		l.leave(c, core.ReasonEOF)
	}
}

// decided handles a wake of a client that has no child: its login is decided, or it must close.
func (l *loop) decided(c *client) {
	_, closing := c.session.Closing()
	switch {
	case closing && c.stage <= queued:
		l.refuse(c)
	case c.stage < queued && c.session.State() == core.StateGrant:
		l.requestChild(c)
	}
}
