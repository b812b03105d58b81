package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/ring"
	"chatbench/core"
)

// flush writes to every client all that it is behind, once, and submits that.
func (l *loop) flush() {
	l.read = 0
	l.member.Fed()
	writing := l.member.BeginWriting()
	if writing {
		if l.coalesce != nil {
			l.coalesce.Writes(l.moment())
		}
		for i := len(l.recipients) - 1; i >= 0; i-- { // write may take out the one it is at
			l.write(l.recipients[i])
		}
	}
	l.flushMail()
	if writing {
		l.member.EndWriting()
	}
}

// flushMail looks after the sessions that have output of their own, or must close, and
// submits what is to be sent.
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

// exchange submits the sends that are filled in, and those that follow from their
// completions. A send that is not complete then has found the socket full. If the ring
// fails, the loop's next wait says why.
func (l *loop) exchange() {
	for len(l.offered) > 0 {
		offered, round := l.offered, l.round
		l.offered = l.spareOffer[:0]
		l.round++
		if l.ring.Submit() != nil {
			return
		}
		l.reap()
		for i, c := range offered {
			offered[i] = nil
			if c.sending && c.round == round && !c.blocked && !c.gone {
				l.stalled(c)
			}
		}
		l.spareOffer = offered[:0]
	}
}

// addRecipient puts a connection among those that are written to when the room has
// grown. Those that are not logged in, or are blocked, cost a flush nothing.
func (l *loop) addRecipient(c *conn) {
	if c.inRoom && !c.blocked && !c.failed && !c.leaving && c.seat < 0 {
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
	c.due = l.cfg.Room.Said()
	switch {
	case !c.sending:
		l.write(c)
	case closing:
		// It may be given nothing more, and must not be asked while a send is in flight.
		c.undoing = true
		l.stopSending(c)
	}
}

// write fills in a send of what waits for a client, if none is in flight, and ends the
// connection when a closing session has no more.
func (l *loop) write(c *conn) {
	if c.sending || c.leaving || c.gone {
		return
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
		return
	}
	c.sending, c.flight, c.round = true, p, l.round
	l.ring.Send(c.fd, p, user(c.fd, forSend))
	l.offered = append(l.offered, c)
}

// stopSending cancels the send of a client.
func (l *loop) stopSending(c *conn) {
	if c.sending {
		l.ring.Cancel(user(c.fd, forSend), user(c.fd, forStopSend))
	}
}

// sent handles the completion of a send. What the room has said since the flush began, or
// since the client last had output of its own, waits for the next flush: with it this one would go on
// for as long as others talk.
func (l *loop) sent(c *conn, done *ring.CQE) {
	offered, all := len(c.flight), false
	c.sending, c.flight, c.blocked, c.undoing = false, nil, false, false
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
			l.cfg.Counters.Stalls.Add(1) // what follows waits for the socket
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
	case !all || c.session.Due(max(c.due, l.member.Began())):
		l.write(c)
	case c.paused:
		l.pauseOrResume(c) // Next may have worked through what waited
	}
}

// sendFailed handles a client that is gone. What it said before may still be
// unread: reading on finds that, and then the end. The kernel tells of a reset only
// once; one that comes after a FIN is EPIPE.
func (l *loop) sendFailed(c *conn, err unix.Errno) {
	c.failed = true
	l.removeRecipient(c)
	c.session.WriteFailed()
	c.reset = c.reset || err == unix.ECONNRESET
	if l.endsWithItsWords(c) {
		return
	}
	if c.paused { // nobody reads on
		if why, over := c.absence.Look(c.fd, c.reset, time.Now(), l.cfg.Room.Farewell()); over {
			l.drop(c, why)
		}
	}
}

// endsWithItsWords drops a client that has sent FIN and whose last words the kernel
// takes no more of.
func (l *loop) endsWithItsWords(c *conn) bool {
	_, closing := c.session.Closing()
	if closing && c.eof {
		l.drop(c, core.ReasonEOF)
	}
	return c.gone
}

// stalled handles a send that the socket did not take at once: it stays in flight.
func (l *loop) stalled(c *conn) {
	c.blocked = true
	l.removeRecipient(c)
	c.session.Wrote(0)
	l.cfg.Counters.Stalls.Add(1)
	if !l.endsWithItsWords(c) && c.paused {
		l.pauseOrResume(c) // Next may have worked through what waited
	}
}
