package backends

import (
	"sync/atomic"
	"time"
)

// TurnBounds are the upper bounds by which turns of loops are counted.
var TurnBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// TurnTimes is how long the turns of all loops of a transport took.
type TurnTimes struct {
	Count  uint64
	Sum    time.Duration
	Within [len(TurnBounds)]uint64 // number of turns that took no longer than each of TurnBounds
}

// turnCounts is shared by the TurnTimers of a transport: the number of turns by their first bound, with
// those beyond all bounds last, and the sum of their times in nanoseconds.
type turnCounts struct {
	by  [len(TurnBounds) + 1]atomic.Uint64
	sum atomic.Int64
}

func (c *turnCounts) add(took time.Duration) {
	i := 0
	for i < len(TurnBounds) && took > TurnBounds[i] {
		i++
	}
	c.by[i].Add(1)
	c.sum.Add(int64(took))
}

// Turns is how long the turns of the transport's loops took. It is zero unless TimeTurns was set, and for
// a transport that has no loop or does not time it.
func (c *Counters) Turns() (t TurnTimes) {
	t.Sum = time.Duration(c.turns.sum.Load())
	for i := range c.turns.by {
		t.Count += c.turns.by[i].Load()
		if i < len(t.Within) {
			t.Within[i] = t.Count
		}
	}
	return t
}

// TurnTimer times the turns of one loop. A turn begins when the loop has learned what is ready and ends
// when it waits again. What becomes ready meanwhile waits for the next turn.
//
// If a library owns the loop and calls the transport several times in a turn, the turn is the sum of
// these calls, without the library's own work. A TurnTimer belongs to the loop's goroutine. If turns are
// not timed, it does nothing.
type TurnTimer struct {
	counts *turnCounts   // nil: turns are not timed
	depth  int           // calls within calls
	began  time.Time     // of the outermost call
	spent  time.Duration // in this turn so far
}

// TurnTimer returns a timer for one loop.
func (c *Counters) TurnTimer() TurnTimer {
	if !c.TimeTurns {
		return TurnTimer{}
	}
	return TurnTimer{counts: &c.turns}
}

// Begin begins a turn or a part of one. End or Over has to follow.
func (t *TurnTimer) Begin() {
	if t.counts == nil {
		return
	}
	if t.depth++; t.depth == 1 {
		t.began = time.Now()
	}
}

// End ends a part of a turn.
func (t *TurnTimer) End() {
	if t.counts == nil {
		return
	}
	if t.depth--; t.depth == 0 {
		t.spent += time.Since(t.began)
	}
}

// Over ends the last part of a turn, and counts the turn.
func (t *TurnTimer) Over() {
	if t.counts == nil {
		return
	}
	if t.End(); t.depth > 0 {
		return
	}
	t.counts.add(t.spent)
	t.spent = 0
}
