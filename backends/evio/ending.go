package evio

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// retryTime is how often a client is looked at that takes nothing.
const retryTime = 5 * time.Millisecond

// drop lets go of a connection that evio has closed.
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
	l.live[c.place] = l.live[last]
	l.live[c.place].place = c.place
	l.live[last] = nil
	l.live = l.live[:last]
	if c.why = why; len(c.stash) > 0 && why != core.ReasonCut {
		c.parting = true // until all that it sent is fed
		l.parting++
		return
	}
	l.leave(c)
}

// leave takes a client that is gone out of the room.
func (l *loop) leave(c *conn) {
	if c.parting {
		c.parting = false
		l.parting--
	}
	c.stash = nil
	c.session.Leave(c.why)
	if l.stopping.Load() && len(l.live)+l.parting == 0 {
		l.bell.ring()
	}
}

// over is called when evio runs the loop no more: nobody is written to, and
// nothing is noted any more.
func (l *loop) over() {
	for _, c := range l.stashed {
		if c.parting {
			if l.cut == nil {
				l.cut = errParting
			}
			c.why = core.ReasonCut
			l.leave(c)
		}
	}
	l.mu.Lock()
	l.mail, l.mailClosed = nil, true
	l.mu.Unlock()
}

var errParting = errors.New("evio: the loop ended before all that was sent was worked through")

// reason is why a connection has ended. evio gives no error for a FIN and none
// when it ends itself: of these the socket knows, which is still open here. A
// write gives EPIPE when a reset has come, but a FIN before it.
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
	c.rest()
	if err == nil || errors.Is(err, unix.EPIPE) {
		return core.ReasonEOF
	}
	return core.ReasonReset
}

// lastWords writes what waits for a client that has said FIN: it may read yet.
// evio would not, for it closes at once.
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

// endLingering closes the connections that have had their time.
func (l *loop) endLingering() {
	if l.lingering.Len() == 0 {
		return
	}
	now := time.Now()
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		c.hangUp()
	}
}

// ended says whether the loop is to end now.
func (l *loop) ended() bool {
	if why := l.cutting.Load(); why != nil && len(l.live)+l.parting > 0 {
		l.cut = *why
		return true
	}
	return l.stopping.Load() && len(l.live)+l.parting == 0
}

// setAlarm has the bell rung when something is due that no event announces.
func (l *loop) setAlarm() {
	switch {
	case l.stalls > 0:
		l.bell.ringIn(retryTime)
	case l.lingering.Len() > 0:
		l.bell.ringIn(max(time.Until(l.lingering.First()), time.Millisecond))
	}
}

// Gone says whether the connection has ended.
func (c *conn) Gone() bool { return c.gone }
