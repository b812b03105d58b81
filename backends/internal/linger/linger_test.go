package linger

import (
	"testing"
	"time"
)

type conn struct{ gone bool }

func (c *conn) Gone() bool { return c.gone }

// TestQueue: each is taken out when its time is over, those turned away before those who
// came earlier and have more time, and those that are gone never.
func TestQueue(t *testing.T) {
	start := time.Unix(1, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	var q Queue[*conn]
	if _, ok := q.Pop(at(100)); ok || q.Len() != 0 || !q.First().IsZero() {
		t.Error("an empty queue holds something")
	}
	long, longer, away, gone := new(conn), new(conn), new(conn), new(conn)
	q.Push(long, at(0), 10*time.Second, false)
	q.Push(gone, at(1), 10*time.Second, false)
	q.Push(longer, at(2), 10*time.Second, false)
	q.Push(away, at(4), 10*time.Second, true)
	if q.Len() != 4 || !q.First().Equal(at(4.25)) {
		t.Errorf("%d wait, the first until %v", q.Len(), q.First())
	}
	gone.gone = true
	for _, step := range []struct {
		second float64
		want   *conn
		first  float64
	}{{4, nil, 4.25}, {4.25, away, 10}, {9, nil, 10}, {10, long, 11}, {11, nil, 12}, {12, longer, 0}, {13, nil, 0}} {
		got, ok := q.Pop(at(step.second))
		if got != step.want || ok != (step.want != nil) {
			t.Errorf("at %v s: %p, %v, want %p", step.second, got, ok, step.want)
		}
		if first := q.First(); step.first == 0 != first.IsZero() || step.first > 0 && !first.Equal(at(step.first)) {
			t.Errorf("at %v s the first has until %v, want %v s", step.second, first, step.first)
		}
	}
}
