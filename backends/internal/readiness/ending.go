package readiness

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// finish sends our FIN after the last octet. The connection then waits for the client's FIN, because
// closing earlier could reset it and destroy data on its way.
func (l *loop) finish(c *conn) {
	if c.finSent {
		return
	}
	c.finSent = true
	l.removeRecipient(c)
	if c.blocked || c.paused {
		c.blocked, c.paused = false, false
		if !l.watch(c) {
			return
		}
	}
	_ = unix.Shutdown(c.id.FD(), unix.SHUT_WR)
	why, _ := c.session.Closing()
	l.lingering.Push(c, time.Now(), l.cfg.Linger, why.TurnedAway())
}

// endLingering closes the connections whose Linger is over.
func (l *loop) endLingering(now time.Time) {
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		l.drop(c, core.ReasonReset)
	}
}

// drop closes a connection and leaves its session.
func (l *loop) drop(c *conn, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.member.ConnEnded()
	l.removeRecipient(c)
	c.session.Leave(why)
	l.poller.Remove(c.id)
	fd := c.id.FD()
	_ = unix.Close(fd)
	l.conns[fd] = nil
	last := len(l.live) - 1
	l.live[c.index] = l.live[last]
	l.live[c.index].index = c.index
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every connection at once.
func (l *loop) cutAll() {
	for len(l.live) > 0 {
		l.drop(l.live[len(l.live)-1], core.ReasonCut)
	}
}

// Gone says whether the connection has ended.
func (c *conn) Gone() bool { return c.gone }
