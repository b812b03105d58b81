package process

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/linger"
	"chatbench/core"
)

// refuse sends a client that has no child its last output and a FIN. That is so little that a
// socket normally takes it at once. If not, the client gets a child that waits for it, unless it
// is refused because it cannot have one.
func (l *loop) refuse(c *client) {
	for p := c.session.Next(); p != nil; p = c.session.Next() {
		n, err := unix.SendmsgN(c.socket, p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if n > 0 {
			l.cfg.Counters.Writes.Add(1)
			l.cfg.Counters.BytesOut.Add(int64(n))
		}
		c.session.Wrote(n)
		switch {
		case n == len(p) || err == unix.EINTR:
		case err == nil || err == unix.EAGAIN:
			l.cfg.Counters.Stalls.Add(1)
			if c.stage == served {
				l.leave(c, core.ReasonReset)
			} else {
				l.requestChild(c)
			}
			return
		default: // it is gone: a read will report how
			c.session.WriteFailed()
		}
	}
	l.move(c, refused)
	c.leaving, c.preamble = true, nil
	_ = unix.Shutdown(c.socket, unix.SHUT_WR)
	l.inputs.remove(c.socket)
	if err := l.poller.add(c.socket, unix.EPOLLIN, func() { l.awaitEnd(c) }); err != nil {
		l.logLimit.Warn(l.cfg.Log, "a client that was turned away cannot be watched", "err", err)
		l.leave(c, core.ReasonReset)
		return
	}
	wait := l.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, linger.Brief)
	}
	l.lingering.set(c, time.Now().Add(wait))
}

// awaitEnd discards what a refused client sends, until its end.
func (l *loop) awaitEnd(c *client) {
	switch n, err := rawCall(unix.SYS_READ, c.socket, l.buf); {
	case n > 0 || err == unix.EAGAIN || err == unix.EINTR:
	case err == nil:
		l.leave(c, core.ReasonEOF)
	default:
		l.leave(c, core.ReasonReset)
	}
}
