package readiness

import (
	"golang.org/x/sys/unix"

	"chatbench/core"
)

// flush writes to every client all that it is behind, once.
func (l *loop) flush() {
	l.read = 0
	l.member.Fed()
	if l.member.BeginWriting() {
		if l.coalesce != nil {
			l.coalesce.Writes(l.moment())
		}
		l.writeToRoom()
		l.member.EndWriting()
	}
	l.flushMail()
}

// writeToRoom writes to each recipient.
func (l *loop) writeToRoom() {
	if l.batch != nil {
		for i := len(l.recipients) - 1; i >= 0; i-- { // offer may take out the one it is at
			l.offer(l.recipients[i])
		}
		l.exchange()
		return
	}
	for i := len(l.recipients) - 1; i >= 0; i-- { // so may write
		l.write(l.recipients[i])
	}
}

// flushMail looks after the sessions that have output of their own, or must close.
func (l *loop) flushMail() {
	l.mu.Lock()
	mail := l.mail
	l.mail = l.spareMail
	l.mu.Unlock()
	for i, c := range mail {
		c.mailed.Store(false)
		mail[i] = nil
		l.attend(c)
	}
	l.spareMail = mail[:0]
	l.exchange()
}

// hasMail says whether a session has output of its own, or must close.
func (l *loop) hasMail() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mail) > 0
}

// addRecipient puts a connection among those that are written to when the room has
// grown. Those that are not logged in, or are blocked, cost a flush nothing.
func (l *loop) addRecipient(c *conn) {
	if c.inRoom && !c.blocked && !c.leaving && c.seat < 0 {
		c.seat = len(l.recipients)
		l.recipients = append(l.recipients, c)
	}
}

// removeRecipient takes a connection out again.
func (l *loop) removeRecipient(c *conn) {
	if c.seat < 0 {
		return
	}
	last := len(l.recipients) - 1
	l.recipients[c.seat] = l.recipients[last]
	l.recipients[c.seat].seat = c.seat
	l.recipients[last] = nil
	l.recipients = l.recipients[:last]
	c.seat = -1
}

// attend looks after a session that has output of its own or must close.
func (l *loop) attend(c *conn) {
	if c.gone {
		return
	}
	_, closing := c.session.Closing()
	if !closing {
		// Before it is in the room, a session has output only when it closes.
		c.inRoom = true
		l.addRecipient(c)
	}
	switch {
	case !c.blocked && l.batch != nil:
		l.offer(c)
	case !c.blocked:
		l.write(c)
	case closing && c.session.Next() == nil:
		l.finish(c) // it is cut off: what the kernel has not taken is not sent
	}
}

// write gives the kernel what waits for a client.
func (l *loop) write(c *conn) {
	for p := l.next(c); p != nil; p = l.next(c) {
		n, err := send(c.id.FD(), p)
		if !l.wrote(c, len(p), n, err) {
			return
		}
	}
}

// next is what waits for a client; nil: nothing. Then it ends the connection, if a closing
// session has no more.
func (l *loop) next(c *conn) []byte {
	if c.leaving {
		return nil
	}
	// In this order: a session that was closing before it had nothing more will
	// never have more.
	_, closing := c.session.Closing()
	p := c.session.Next()
	if p == nil {
		if closing {
			l.finish(c)
		}
		if c.paused {
			l.pauseOrResume(c) // Next may have worked through what waited
		}
	}
	return p
}

// wrote notes that the kernel took n octets of those that it was offered for a client, and
// says whether these were all.
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

// stalled handles a write that took less than was offered.
func (l *loop) stalled(c *conn, err error) {
	l.removeRecipient(c)
	switch err {
	case nil, unix.EAGAIN, unix.EINTR:
	case unix.EPIPE, unix.ECONNRESET:
		// The client is gone, but what it said before may still be unread:
		// reading on finds that, and then the end. The kernel tells of a
		// reset only once; one that comes after a FIN is EPIPE.
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
		c.paused = false // Next has worked through what waited
	}
	l.watch(c)
}

// watch has a connection watched for what it is used for now.
func (l *loop) watch(c *conn) bool {
	if err := l.poller.Want(c.id, !c.paused, c.blocked); err != nil {
		l.listener.lines.Error(l.cfg.Log, "a connection cannot be watched", "peer", c.session.Peer(), "err", err)
		l.drop(c, core.ReasonReset)
		return false
	}
	return true
}
