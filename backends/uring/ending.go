package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// finish sends our FIN after the last octet. The connection then waits for the client's FIN, because
// closing earlier could reset it and destroy data on its way.
func (l *loop) finish(c *conn) {
	c.finSent = true
	l.removeRecipient(c)
	c.paused, c.backlog = false, nil
	_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	if c.eof {
		l.drop(c, core.ReasonEOF)
		return
	}
	why, _ := c.session.Closing()
	l.lingering.Push(c, time.Now(), l.cfg.Linger, why.TurnedAway())
	l.receive(c)
}

// endLingering closes the connections whose Linger is over.
func (l *loop) endLingering(now time.Time) {
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		l.drop(c, core.ReasonReset)
	}
}

// drop leaves a connection's session, and closes the connection when nothing is in flight. A
// shutdown ends what is in flight; a receive may miss that, so it is cancelled as well. After the
// shutdown the kernel sends none of the octets that the session gives up here.
func (l *loop) drop(c *conn, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.member.ConnEnded()
	l.removeRecipient(c)
	c.backlog = nil
	if c.sending || c.receiving {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
		l.stopReceiving(c)
	}
	c.session.Leave(why)
	l.release(c)
}

// release closes a dropped connection if nothing is in flight any more. If a receive took input
// after the shutdown, the connection is reset, as close(2) resets it when input is unread. The kernel
// does not tell the client of the window that this receive opened, so a client whose window was full
// would wait for that.
func (l *loop) release(c *conn) {
	if c.sending || c.receiving {
		return
	}
	if c.discarded {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(c.fd)
	l.conns[c.fd] = nil
	last := len(l.live) - 1
	l.live[c.index] = l.live[last]
	l.live[c.index].index = c.index
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every connection at once.
func (l *loop) cutAll() {
	for i := len(l.live) - 1; i >= 0; i-- { // drop may remove the current one
		l.drop(l.live[i], core.ReasonCut)
	}
	l.cut = true
}

// abort ends all connections of a loop that cannot go on, because there will be no more
// completions.
func (l *loop) abort() {
	for {
		l.adoptArrivals()
		l.cutAll()
		for len(l.live) > 0 {
			c := l.live[len(l.live)-1]
			c.sending, c.receiving = false, false
			l.release(c)
		}
		if l.retire() {
			return
		}
	}
}

// Gone says whether the connection has ended.
func (c *conn) Gone() bool { return c.gone }
