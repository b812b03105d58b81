package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

// briefLinger is how long a client that was turned away may take to say FIN:
// it holds no slot, so it must not hold a descriptor for long.
const briefLinger = 250 * time.Millisecond

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
	wait := l.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, briefLinger)
	}
	c.until = time.Now().Add(wait)
	l.lingering.push(c)
	l.receive(c)
}

// endLingering closes the connections that have waited for a FIN long enough.
func (l *loop) endLingering(now time.Time) {
	for c := l.lingering.pop(now); c != nil; c = l.lingering.pop(now) {
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
	l.removeRecipient(c)
	c.backlog = nil
	if c.sending || c.receiving {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	c.session.Leave(why)
	l.release(c)
}

// release closes a connection that is gone when nothing is in flight any more.
func (l *loop) release(c *conn) {
	if c.sending || c.receiving {
		return
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
	l.cutAll()
	for len(l.live) > 0 {
		c := l.live[len(l.live)-1]
		c.sending, c.receiving = false, false
		l.release(c)
	}
	l.retire()
}

// lingerQueue holds the connections that wait for a client's FIN, the one that
// waits for the shortest time first within each of the two waiting times.
type lingerQueue struct {
	queues [2][]*conn // turned away, others
}

func (q *lingerQueue) push(c *conn) {
	i := 1
	if why, _ := c.session.Closing(); why.TurnedAway() {
		i = 0
	}
	q.queues[i] = append(q.queues[i], c)
}

func (q *lingerQueue) len() int { return len(q.queues[0]) + len(q.queues[1]) }

// first is the earliest end among those that wait.
func (q *lingerQueue) first() time.Time {
	var t time.Time
	for _, list := range q.queues {
		if len(list) > 0 && (t.IsZero() || list[0].until.Before(t)) {
			t = list[0].until
		}
	}
	return t
}

// pop takes out one that is gone or whose time is over; nil if there is none.
func (q *lingerQueue) pop(now time.Time) *conn {
	for i, list := range q.queues {
		if len(list) == 0 {
			continue
		}
		if c := list[0]; c.gone || !now.Before(c.until) {
			list[0] = nil
			q.queues[i] = list[1:]
			return c
		}
	}
	return nil
}
