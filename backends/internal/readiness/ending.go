package readiness

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
	if c.leaving {
		return
	}
	c.leaving = true
	l.removeRecipient(c)
	if c.blocked || c.paused {
		c.blocked, c.paused = false, false
		if !l.watch(c) {
			return
		}
	}
	_ = unix.Shutdown(c.id.FD(), unix.SHUT_WR)
	wait := l.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		wait = min(wait, briefLinger)
	}
	c.until = time.Now().Add(wait)
	l.lingering.push(c)
}

// endLingering closes the connections that have waited for a FIN long enough.
func (l *loop) endLingering(now time.Time) {
	for c := l.lingering.pop(now); c != nil; c = l.lingering.pop(now) {
		l.drop(c, core.ReasonReset)
	}
}

// drop ends a connection that is gone.
func (l *loop) drop(c *conn, why core.Reason) {
	if c.gone {
		return
	}
	c.gone = true
	l.load.Add(-1)
	l.removeRecipient(c)
	c.session.Leave(why)
	l.poller.Remove(c.id)
	fd := c.id.FD()
	_ = unix.Close(fd)
	l.conns[fd] = nil
	last := len(l.live) - 1
	l.live[c.place] = l.live[last]
	l.live[c.place].place = c.place
	l.live[last] = nil
	l.live = l.live[:last]
}

// cutAll ends every connection at once.
func (l *loop) cutAll() {
	for len(l.live) > 0 {
		l.drop(l.live[len(l.live)-1], core.ReasonCut)
	}
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
