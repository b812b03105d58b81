package guest

import "time"

// lingerQueue holds the connections that have so much time to end by
// themselves, the one with the least time left first within each of the two
// waiting times.
type lingerQueue struct {
	queues [2][]*Client // those turned away, and others
}

func (q *lingerQueue) push(c *Client, turnedAway bool) {
	i := 1
	if turnedAway {
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
func (q *lingerQueue) pop(now time.Time) *Client {
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
