package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/ring"
	"chatbench/core"
)

// flush writes to each client, once, everything it is behind, handles the sessions that were woken,
// and submits the sends.
func (l *loop) flush() {
	l.read = 0
	l.member.EndFeeding()
	writing := l.member.BeginWriting()
	if writing {
		if l.coalesce != nil {
			l.coalesce.Writes(l.moment())
		}
		for i := len(l.recipients) - 1; i >= 0; i-- { // write may remove the current one
			l.write(l.recipients[i])
		}
	}
	l.handleWakes()
	if writing {
		l.member.EndWriting()
	}
}

// handleWakes handles the sessions that were woken, and submits the sends.
func (l *loop) handleWakes() {
	l.mu.Lock()
	wakes := l.wakes
	l.wakes = l.spareWakes
	l.mu.Unlock()
	for i, c := range wakes {
		c.inWakes.Store(false)
		wakes[i] = nil
		l.handleWoken(c)
	}
	l.spareWakes = wakes[:0]
	l.submitSends()
}

// submitSends submits the sends that are filled in, and those that follow from their completions. A
// send that is not complete then has found the socket full. If the ring fails, the loop's next wait
// reports why.
func (l *loop) submitSends() {
	for len(l.unsubmitted) > 0 {
		submitted, round := l.unsubmitted, l.round
		l.unsubmitted = l.spareUnsubmitted[:0]
		l.round++
		if l.ring.Submit() != nil {
			return
		}
		l.reap()
		for i, c := range submitted {
			submitted[i] = nil
			if c.sending && c.round == round && !c.blocked && !c.gone {
				l.stalled(c)
			}
		}
		l.spareUnsubmitted = submitted[:0]
	}
}

// addRecipient adds a connection to those that a flush writes to. Connections that are not logged
// in, or are blocked, cost a flush nothing.
func (l *loop) addRecipient(c *conn) {
	if c.inRoom && !c.blocked && !c.failed && !c.finSent && c.recipientIndex < 0 {
		c.recipientIndex = len(l.recipients)
		l.recipients = append(l.recipients, c)
	}
}

// removeRecipient removes it again.
func (l *loop) removeRecipient(c *conn) {
	if c.recipientIndex < 0 {
		return
	}
	last := len(l.recipients) - 1
	l.recipients[c.recipientIndex] = l.recipients[last]
	l.recipients[c.recipientIndex].recipientIndex = c.recipientIndex
	l.recipients[last] = nil
	l.recipients = l.recipients[:last]
	c.recipientIndex = -1
}

// handleWoken handles a session that has output of its own, or must close.
func (l *loop) handleWoken(c *conn) {
	if c.gone {
		return
	}
	_, closing := c.session.Closing()
	if !closing {
		// A session that is not granted has output only when it closes.
		c.inRoom = true
		l.addRecipient(c)
	}
	c.dueUpTo = l.cfg.Room.Said()
	switch {
	case !c.sending:
		l.write(c)
	case closing:
		// The core may have nothing more for it. Next must not be called while a send is in flight.
		c.cancelling = true
		l.stopSending(c)
	}
}

// write fills in a send of what waits for a client, if none is in flight, and finishes the
// connection when a closing session has nothing more.
func (l *loop) write(c *conn) {
	if c.sending || c.finSent || c.gone {
		return
	}
	// In this order: if a session was closing before Next returned nothing, it will never have
	// more.
	_, closing := c.session.Closing()
	p := c.session.Next()
	if p == nil {
		if closing {
			l.finish(c)
		}
		if c.paused {
			l.pauseOrResume(c) // Next may have fed the input that waited
		}
		return
	}
	c.sending, c.inFlight, c.round = true, p, l.round
	l.ring.Send(c.fd, p, userData(c.fd, forSend))
	l.unsubmitted = append(l.unsubmitted, c)
}

// stopSending cancels the send of a client.
func (l *loop) stopSending(c *conn) {
	if c.sending {
		l.ring.Cancel(userData(c.fd, forSend), userData(c.fd, forStopSend))
	}
}

// sent handles the completion of a send. What the room has said since the flush began, or since the
// client last had output of its own, waits for the next flush. Otherwise this one would go on for
// as long as others talk.
func (l *loop) sent(c *conn, done *ring.CQE) {
	offered, all := len(c.inFlight), false
	c.sending, c.inFlight, c.blocked, c.cancelling = false, nil, false, false
	if c.gone {
		l.release(c)
		return
	}
	switch err := done.Err(); err {
	case 0:
		n := int(done.Res)
		all = n == offered
		c.session.Wrote(n)
		l.cfg.Counters.Writes.Add(1)
		l.cfg.Counters.BytesOut.Add(int64(n))
		if !all {
			l.cfg.Counters.Stalls.Add(1) // the rest waits for the socket
		}
	case unix.ECANCELED, unix.EINTR:
	case unix.EPIPE, unix.ECONNRESET:
		l.sendFailed(c, err)
		return
	default:
		l.drop(c, core.ReasonReset)
		return
	}
	l.addRecipient(c)
	switch {
	case !all || c.session.Due(max(c.dueUpTo, l.member.FlushedAt())):
		l.write(c)
	case c.paused:
		l.pauseOrResume(c) // Next may have fed the input that waited
	}
}

// sendFailed handles a client that is gone. Input may still be unread: the loop reads on, to the end.
// The kernel reports a reset only once. A reset after a FIN is EPIPE.
func (l *loop) sendFailed(c *conn, err unix.Errno) {
	c.failed = true
	l.removeRecipient(c)
	c.session.WriteFailed()
	c.reset = c.reset || err == unix.ECONNRESET
	if l.dropIfFinished(c) {
		return
	}
	if c.paused { // it is not read now
		if why, expired := c.peer.Check(c.fd, c.reset, time.Now(), l.cfg.Room.Farewell()); expired {
			l.drop(c, why)
		}
	}
}

// dropIfFinished drops a client whose session is closing, if it has sent FIN and does not take the last
// output, or if it is not read, nor is anything sent to it any more.
func (l *loop) dropIfFinished(c *conn) bool {
	_, closing := c.session.Closing()
	if closing && (c.eof && (c.blocked || c.failed) || c.failed && c.paused) {
		l.drop(c, core.ReasonEOF)
	}
	return c.gone
}

// stalled handles a send that the socket has not taken at once. It stays in flight.
func (l *loop) stalled(c *conn) {
	c.blocked = true
	l.removeRecipient(c)
	c.session.Wrote(0)
	l.cfg.Counters.Stalls.Add(1)
	if !l.dropIfFinished(c) && c.paused {
		l.pauseOrResume(c) // Next may have fed the input that waited
	}
}
