package readiness

import (
	"golang.org/x/sys/unix"

	"chatbench/core"
)

// flush writes to each client, once, everything it is behind, and handles the sessions that were
// woken.
func (l *loop) flush() {
	l.read = 0
	l.member.EndFeeding()
	if l.member.BeginWriting() {
		if l.coalesce != nil {
			l.coalesce.Writes(l.moment())
		}
		l.writeToRoom()
		l.member.EndWriting()
	}
	l.handleWakes()
}

// writeToRoom writes to each recipient.
func (l *loop) writeToRoom() {
	if l.batch != nil {
		for i := len(l.recipients) - 1; i >= 0; i-- { // queueWrite may remove the current one
			l.queueWrite(l.recipients[i])
		}
		l.writeQueued()
		return
	}
	for i := len(l.recipients) - 1; i >= 0; i-- { // write may remove it too
		l.write(l.recipients[i])
	}
}

// handleWakes handles the sessions that were woken.
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
	l.writeQueued()
}

// hasWakes says whether there are such sessions.
func (l *loop) hasWakes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wakes) > 0
}

// addRecipient adds a connection to those that a flush writes to. Connections that are not logged
// in, or are blocked, cost a flush nothing.
func (l *loop) addRecipient(c *conn) {
	if c.inRoom && !c.blocked && !c.finSent && c.recipientIndex < 0 {
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
	switch {
	case !c.blocked && l.batch != nil:
		l.queueWrite(c)
	case !c.blocked:
		l.write(c)
	case closing && c.session.Next() == nil:
		l.finish(c) // the core gives nothing more: what the kernel has not taken is not sent
	}
}

// write writes what waits for a client.
func (l *loop) write(c *conn) {
	for p := l.next(c); p != nil; p = l.next(c) {
		n, err := send(c.id.FD(), p)
		if !l.wrote(c, len(p), n, err) {
			return
		}
	}
}

// next returns what waits for a client, or nil. If a closing session has nothing more, it finishes
// the connection.
func (l *loop) next(c *conn) []byte {
	if c.finSent {
		return nil
	}
	// In this order: if a session was closing before Next returned nothing, it will never have more.
	_, closing := c.session.Closing()
	p := c.session.Next()
	if p == nil {
		if closing {
			l.finish(c)
		}
		if c.paused {
			l.pauseOrResume(c) // Next may have fed the input that waited
		}
	}
	return p
}

// wrote reports to the session that the kernel took n of the octets that it was offered, and returns
// whether it took all.
func (l *loop) wrote(c *conn, offered, n int, err error) bool {
	c.session.Wrote(n)
	if n > 0 {
		l.cfg.Counters.Writes.Add(1)
		l.cfg.Counters.BytesOut.Add(int64(n))
	}
	if n < offered {
		l.stalled(c, err)
		return false
	}
	return true
}

// stalled handles a write that did not take everything.
func (l *loop) stalled(c *conn, err error) {
	l.removeRecipient(c)
	switch err {
	case nil, unix.EAGAIN, unix.EINTR:
	case unix.EPIPE, unix.ECONNRESET:
		// The client is gone, but input may still be unread. The loop reads on, to the end. The
		// kernel reports a reset only once. A reset after a FIN is EPIPE.
		c.session.WriteFailed()
		c.blocked = true
		c.reset = c.reset || err == unix.ECONNRESET
		if c.paused {
			c.paused = false
			l.watch(c)
		}
		return
	default:
		l.drop(c, core.ReasonReset)
		return
	}
	l.cfg.Counters.Stalls.Add(1)
	c.blocked = true
	if c.paused && !c.session.Held() {
		c.paused = false // Next has fed the input that waited
	}
	l.watch(c)
}

// watch sets what the poller watches a connection for.
func (l *loop) watch(c *conn) bool {
	if err := l.poller.Want(c.id, !c.paused, c.blocked); err != nil {
		l.listener.LogLimit.Error(l.cfg.Log, "a connection cannot be watched", "peer", c.session.Peer(), "err", err)
		l.drop(c, core.ReasonReset)
		return false
	}
	return true
}
