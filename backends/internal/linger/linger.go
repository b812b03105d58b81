// Package linger is a queue of connections that have a limited time to end by themselves. It is for
// transports that wait for a client's FIN, and close the connection without it when the time is over.
// Clients that were turned away have less time than others.
//
// The package does not read a clock and does not end anything. A Queue belongs to one goroutine.
package linger

import "time"

// Brief is the longest time of a client that was turned away. It has no slot, so it must not have a
// descriptor for long.
const Brief = 250 * time.Millisecond

// Conn is a connection in a Queue.
type Conn interface {
	// Gone says whether it has ended.
	Gone() bool
}

// Queue is two lists of connections, one of clients that were turned away. Each is in the order of
// Push, which is also the order in which the times end, because the time is the same for all of a list.
// The zero Queue is empty.
type Queue[C Conn] struct {
	queues [2][]entry[C] // turned away, others
}

type entry[C Conn] struct {
	conn  C
	until time.Time
}

// Push adds a connection whose time is wait from now on, or at most Brief if it was turned away.
func (q *Queue[C]) Push(c C, now time.Time, wait time.Duration, turnedAway bool) {
	i := 1
	if turnedAway {
		i, wait = 0, min(wait, Brief)
	}
	q.queues[i] = append(q.queues[i], entry[C]{c, now.Add(wait)})
}

// Len is how many connections are in the queue; some may have ended.
func (q *Queue[C]) Len() int { return len(q.queues[0]) + len(q.queues[1]) }

// First is when the first time ends; zero if the queue is empty.
func (q *Queue[C]) First() time.Time {
	var t time.Time
	for _, list := range q.queues {
		if len(list) > 0 && (t.IsZero() || list[0].until.Before(t)) {
			t = list[0].until
		}
	}
	return t
}

// Pop removes and returns a connection whose time is over, or returns false. It also removes
// connections that have ended.
func (q *Queue[C]) Pop(now time.Time) (c C, ok bool) {
	for i := range q.queues {
		for list := q.queues[i]; len(list) > 0; list = q.queues[i] {
			first := list[0]
			if !first.conn.Gone() && now.Before(first.until) {
				break
			}
			list[0] = entry[C]{}
			q.queues[i] = list[1:]
			if !first.conn.Gone() {
				return first.conn, true
			}
		}
	}
	return c, false
}
