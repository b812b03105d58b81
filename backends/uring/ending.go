package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// finish sends our FIN after the last octet; the connection then waits for the
// client's, so that closing does not reset it and destroy what is on its way.
func (l *loop) finish(c *conn) {
	c.leaving = true
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

// endLingering closes the connections that have waited for a FIN long enough.
func (l *loop) endLingering(now time.Time) {
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		l.drop(c, core.ReasonReset)
	}
}

// drop ends a connection that is gone. What is in flight is ended by a shutdown,
// which cannot miss it as a cancel can; and after that the kernel sends nothing of
// what the session lets go of here.
func (l *loop) drop(c *conn, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.member.Left()
	l.removeRecipient(c)
	c.backlog = nil
	if c.sending || c.receiving {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	c.session.Leave(why)
	l.release(c)
}

// release closes a connection that is gone when nothing is in flight any more. If a
// receive has taken something after the shutdown it is reset, as closing resets it where
// something is unread: the kernel has not told the client of the room that the receive
// made, and a client whose window was full would wait for it.
func (l *loop) release(c *conn) {
	if c.sending || c.receiving {
		return
	}
	if c.unread {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(c.fd)
	l.conns[c.fd] = nil
	last := len(l.live) - 1
	l.live[c.place] = l.live[last]
	l.live[c.place].place = c.place
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every connection at once.
func (l *loop) cutAll() {
	for i := len(l.live) - 1; i >= 0; i-- { // drop may take out the one it is at
		l.drop(l.live[i], core.ReasonCut)
	}
	l.cut = true
}

// abort ends all connections of a loop that cannot go on: there will be no more
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
