package gnet

import (
	"time"

	"chatbench/core"
)

const (
	// retryTime is how often a client is looked at for which gnet holds octets.
	retryTime = 5 * time.Millisecond
	// briefLinger is how long a client that was turned away may take to say
	// FIN: it holds no slot, so it must not hold a descriptor for long.
	briefLinger = 250 * time.Millisecond
)

// close ends a connection at once. OnClose is called within.
func (l *loop) close(c *conn) {
	if err := c.gnet.EventLoop().Close(c.gnet); err != nil {
		l.lines.Error(l.cfg.Log, "a connection was closed in disorder", "backend", name, "err", err)
	}
}

// cutAll ends all connections at once, those too that are gone and not left.
func (l *loop) cutAll(why error) {
	l.cut = why
	for len(l.live) > 0 {
		l.close(l.live[len(l.live)-1])
	}
	parting := l.parting
	l.parting = nil
	for _, c := range parting {
		c.why = core.ReasonCut
		l.leave(c)
	}
}

// endLingering closes the connections that have had their time.
func (l *loop) endLingering() {
	if l.lingering.empty() {
		return
	}
	now := time.Now()
	for c := l.lingering.pop(now); c != nil; c = l.lingering.pop(now) {
		l.close(c)
	}
}

// setAlarm has the bell rung when something is due that no event announces.
func (l *loop) setAlarm() {
	var wait time.Duration
	switch {
	case len(l.lagging) > 0:
		wait = retryTime
	case !l.lingering.empty():
		wait = max(time.Until(l.lingering.first()), time.Millisecond)
	default:
		return
	}
	l.alarm.Reset(wait)
}

// finished says that the loop has no more to do.
func (l *loop) finished() {
	if !l.over {
		l.over = true
		l.alarm.Stop()
		l.mu.Lock()
		l.mail, l.mailClosed = nil, true
		l.mu.Unlock()
		close(l.empty)
	}
}

// lingerQueue holds the connections that leave, the first to end first within
// each of the two times they are given.
type lingerQueue struct {
	queues [2][]*conn // turned away, others
}

func (q *lingerQueue) push(c *conn) {
	i, wait := 1, c.loop.cfg.Linger
	if why, _ := c.session.Closing(); why.TurnedAway() {
		i, wait = 0, min(wait, briefLinger)
	}
	c.until = time.Now().Add(wait)
	q.queues[i] = append(q.queues[i], c)
}

func (q *lingerQueue) empty() bool { return len(q.queues[0])+len(q.queues[1]) == 0 }

// first is the earliest end of those that leave.
func (q *lingerQueue) first() time.Time {
	var t time.Time
	for _, list := range q.queues {
		if len(list) > 0 && (t.IsZero() || list[0].until.Before(t)) {
			t = list[0].until
		}
	}
	return t
}

// pop takes out one whose time is over; nil if there is none. Those that have
// gone by themselves drop out on the way.
func (q *lingerQueue) pop(now time.Time) *conn {
	for i := range q.queues {
		for list := q.queues[i]; len(list) > 0; list = q.queues[i] {
			c := list[0]
			if c.gnet != nil && now.Before(c.until) {
				break
			}
			list[0] = nil
			q.queues[i] = list[1:]
			if c.gnet != nil {
				return c
			}
		}
	}
	return nil
}

var _ core.Waker = (*loop)(nil)
