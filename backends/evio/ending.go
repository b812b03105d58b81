package evio

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// pollStalledEvery is how often stalled clients are polled.
const pollStalledEvery = 5 * time.Millisecond

// drop removes a connection that evio has closed.
func (l *loop) drop(c *conn, err error) {
	why := c.reason(err)
	c.settle()
	if why == core.ReasonEOF {
		c.lastWords()
	}
	c.gone = true
	if c.stalled {
		l.stalls--
	}
	l.settled(c)
	_ = unix.Close(c.fd)
	last := len(l.live) - 1
	l.live[c.index] = l.live[last]
	l.live[c.index].index = c.index
	l.live[last] = nil
	l.live = l.live[:last]
	if c.why = why; len(c.unfed) > 0 && why != core.ReasonCut {
		c.closedUnfed = true // until all of its input is fed
		l.closedUnfed++
		return
	}
	l.leave(c)
}

// leave leaves the session of a connection that evio has closed.
func (l *loop) leave(c *conn) {
	if c.closedUnfed {
		c.closedUnfed = false
		l.closedUnfed--
	}
	c.unfed = nil
	c.session.Leave(c.why)
	if l.stopping.Load() && len(l.live)+l.closedUnfed == 0 {
		l.bell.ring()
	}
}

// over is called when evio has ended its loop: nothing is written and no wake is kept any
// more.
func (l *loop) over() {
	for _, c := range l.waiting {
		if c.closedUnfed {
			if l.cut == nil {
				l.cut = errUnfed
			}
			c.why = core.ReasonCut
			l.leave(c)
		}
	}
	l.mu.Lock()
	l.wakes, l.wakesClosed = nil, true
	l.mu.Unlock()
}

var errUnfed = errors.New("evio: the loop ended before all input of clients was processed")

// reason is why a connection has ended. evio gives no error for a FIN, and none when it ends
// itself; the duplicate of the socket, which is still open, tells them apart. A write error
// of EPIPE means that a FIN came before the reset.
func (c *conn) reason(err error) core.Reason {
	switch {
	case c.eof:
		return core.ReasonEOF
	case c.leaving:
		return core.ReasonReset
	case err == nil:
		if n, err := unix.Read(c.fd, c.loop.buf); n != 0 || err != nil {
			return core.ReasonCut
		}
	}
	c.readRest()
	if err == nil || errors.Is(err, unix.EPIPE) {
		return core.ReasonEOF
	}
	return core.ReasonReset
}

// lastWords writes what waits for a client that has sent FIN and may still be reading. evio
// closes at once and would not write it.
func (c *conn) lastWords() {
	for p := c.session.Next(); p != nil && c.view.unsent() == 0; p = c.session.Next() {
		n, err := unix.Write(c.fd, p)
		if err != nil {
			return
		}
		c.loop.cfg.Counters.Writes.Add(1)
		c.loop.cfg.Counters.BytesOut.Add(int64(n))
		c.session.Wrote(n)
	}
}

// endLingering closes the connections whose Linger is over.
func (l *loop) endLingering() {
	if l.lingering.Len() == 0 {
		return
	}
	now := time.Now()
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		c.hangUp()
	}
}

// ended says whether the loop has to end now.
func (l *loop) ended() bool {
	if why := l.cutting.Load(); why != nil && len(l.live)+l.closedUnfed > 0 {
		l.cut = *why
		return true
	}
	return l.stopping.Load() && len(l.live)+l.closedUnfed == 0
}

// setAlarm has the bell rung when something is due.
func (l *loop) setAlarm() {
	switch {
	case l.stalls > 0:
		l.bell.ringAfter(pollStalledEvery)
	case l.lingering.Len() > 0:
		l.bell.ringAfter(max(time.Until(l.lingering.First()), time.Millisecond))
	}
}

// Gone says whether the connection has ended.
func (c *conn) Gone() bool { return c.gone }
