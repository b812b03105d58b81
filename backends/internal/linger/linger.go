// Package linger is a queue of connections that have so much time to end by themselves,
// for transports that wait for a client's FIN, and close the connection without it when
// the time is over. Clients that were turned away have less of it than others.
//
// It refuses to look at a clock, and to end anything. A Queue belongs to one goroutine.
package linger

import "time"

// Brief is the most time that a client has which was turned away: it holds no slot, so it
// must not hold a descriptor for long.
const Brief = 250 * time.Millisecond

// Conn is a connection that waits.
type Conn interface {
	// Gone says whether it has ended meanwhile.
	Gone() bool
}

// Queue holds the connections, the one with the least time left first within each of the
// two times there are: so each time has to be the same for all. The zero Queue is empty.
type Queue[C Conn] struct {
	queues [2][]entry[C] // turned away, others
}

type entry[C Conn] struct {
	conn  C
	until time.Time
}

// Push adds a connection, which has so much time from now on, or Brief if it was turned
// away and that is less.
func (q *Queue[C]) Push(c C, now time.Time, wait time.Duration, turnedAway bool) {
	i := 1
	if turnedAway {
		i, wait = 0, min(wait, Brief)
	}
	q.queues[i] = append(q.queues[i], entry[C]{c, now.Add(wait)})
}

// Len is how many there are; some of them may be gone.
func (q *Queue[C]) Len() int { return len(q.queues[0]) + len(q.queues[1]) }

// First is the earliest end among those that wait, zero if nobody does.
func (q *Queue[C]) First() time.Time {
	var t time.Time
	for _, list := range q.queues {
		if len(list) > 0 && (t.IsZero() || list[0].until.Before(t)) {
			t = list[0].until
		}
	}
	return t
}

// Pop takes out one whose time is over; false if there is none. Those that are gone drop
// out on the way.
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
