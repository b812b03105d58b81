package process

import (
	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

// A client gets a child when it is let in. Until then the loop reads it: whoever
// connects without an account, or says nothing, costs a descriptor and no process.
// The loop reads the first frame, which is the login, and no octet more, so that the
// child begins with a frame. What a client sends while its login is decided waits in
// its socket. If it leaves meanwhile, all that is read here.

// stage is how far a client has come.
type stage uint8

const (
	opening  stage = iota // what it begins with is read here
	deciding              // its login is being decided, and it is watched for its end
	due                   // to have a child, while maxOrdered others wait for their children
	served                // by a child, or one is being forked for it
	parting               // it has left while its login was decided, and is read to the end
	away                  // told all that there is, and its end is awaited
)

// promised says that a child will be forked for the client, if it is let in.
func (s stage) promised() bool { return s == deciding || s == due }

// move has a client come to a stage, and keeps count of those who are promised a child.
func (l *loop) move(c *client, to stage) {
	if c.stage.promised() {
		l.promised--
	}
	if to.promised() {
		l.promised++
	}
	c.stage = to
}

// head follows what a client begins with: the PROXY header there may be, and the first
// frame.
type head struct {
	header  header
	decoder wire.Decoder
}

// take says how many of the next octets belong to it, and whether it ends there. What
// is no frame has no end: the room ends the client.
func (h *head) take(in []byte) (n int, whole bool) {
	_, rest, whole, err := h.decoder.Next(h.header.skip(in))
	if err != nil {
		return len(in), false
	}
	return len(in) - len(rest), whole
}

// begin begins to read a client that has just come.
func (l *loop) begin(c *client) {
	c.head = &head{decoder: wire.Decoder{Max: l.forker.maxFrame}}
	if err := l.inputs.add(c.socket, unix.EPOLLIN, func() { l.readOpening(c) }); err != nil {
		l.lines.Warn(l.cfg.Log, "a client cannot be watched", "peer", c.session.Peer(), "err", err)
		l.leave(c, core.ReasonReset)
	}
}

// readOpening takes what a client begins with, or its end.
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
	n, whole := c.head.take(l.buf[:n])
	if got, err := receive(c.socket, l.buf[:n], 0); got != n {
		l.left(c, err) // not on Linux: they are there
		return
	}
	if whole {
		if !l.hasTasks() { // it would be let in, and cut off then
			c.session.TurnAway()
		}
		c.head = nil
		l.move(c, deciding)
		if err := l.inputs.modify(c.socket, unix.EPOLLRDHUP); err != nil {
			panic("process: the poller has lost a client: " + err.Error())
		}
	}
	l.feed(c, l.buf[:n])
	l.flushIfMuch()
}

// readToEnd takes all that a client has sent that leaves while its login is decided. If
// it is let in by now, its child does.
func (l *loop) readToEnd(c *client) {
	if c.stage == deciding && c.session.State() == core.StateGrant {
		return
	}
	l.move(c, parting)
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

// left takes the end of a client that has no child, or an error.
func (l *loop) left(c *client, err error) {
	_, closing := c.session.Closing()
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: // there is more to come
	case err != nil:
		l.leave(c, core.ReasonReset)
	case closing:
		l.sendAway(c) // it is still sent its last words
	default:
		l.leave(c, core.ReasonEOF)
	}
}

// decided looks what has become of the login of a client that has no child.
func (l *loop) decided(c *client) {
	_, closing := c.session.Closing()
	switch {
	case closing && c.stage <= due:
		l.sendAway(c)
	case c.stage < due && c.session.State() == core.StateGrant:
		l.order(c)
	}
}
