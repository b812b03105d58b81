package process

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/linger"
	"chatbench/core"
)

// sendAway tells a client that the room has not taken in why, and ends its
// connection in order. No child is forked for that: whoever connects again and
// again to a full server would cost a process each time. What is said is short,
// and the send buffer of a new connection is empty, so that nothing blocks.
func (l *loop) sendAway(c *client, fd int) {
	c.socket, c.leaving = fd, true
	for p := c.session.Next(); p != nil; p = c.session.Next() {
		n, err := unix.SendmsgN(fd, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil {
			break // it is gone, which reading will tell
		}
		l.cfg.Counters.Writes.Add(1)
		l.cfg.Counters.BytesOut.Add(int64(n))
		c.session.Wrote(n)
	}
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	if err := l.poller.add(fd, unix.EPOLLIN, func() { l.awaitEnd(c) }); err != nil {
		l.lines.Warn(l.cfg.Log, "a client that was turned away cannot be watched", "err", err)
		l.leave(c, core.ReasonReset)
		return
	}
	l.lingering.set(c, time.Now().Add(min(l.cfg.Linger, linger.Brief)))
}

// awaitEnd throws away what comes from a client that is sent away, until its end.
func (l *loop) awaitEnd(c *client) {
	switch n, err := quick(unix.SYS_READ, c.socket, l.buf); {
	case n > 0 || err == unix.EAGAIN || err == unix.EINTR:
	case err == nil:
		l.leave(c, core.ReasonEOF)
	default:
		l.leave(c, core.ReasonReset)
	}
}
