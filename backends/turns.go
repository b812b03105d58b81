package backends

import (
	"sync/atomic"
	"time"
)

// TurnBounds are the bounds up to which the turns of loops are counted.
var TurnBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// TurnTimes is how long turns took. A transport may have many loops: it is of all.
type TurnTimes struct {
	Count  uint64
	Sum    time.Duration
	Within [len(TurnBounds)]uint64 // turns that took no longer than each of TurnBounds
}

// turnCounts is what TurnTimers count together: turns by the first bound that they kept,
// those over all bounds last, and nanoseconds in all.
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

// Turns is how long the turns of the transport's loops took: nothing unless TimeTurns
// was set, or where a transport has no loop or does not tell.
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

// TurnTimer times the turns of one loop: from when it has been told what is ready to
// when it waits again. What is ready in the meantime waits for the next turn.
//
// Of a loop that a library owns, and which calls in between, the times of the calls add
// up to a turn; what the library does by itself is not in it. A TurnTimer belongs to the
// loop's goroutine. If turns are not timed, it does nothing.
type TurnTimer struct {
	counts *turnCounts // nil: turns are not timed
	depth  int         // calls within calls
	began  time.Time   // the outermost
	spent  time.Duration
}

// TurnTimer is a timer for one loop.
func (c *Counters) TurnTimer() TurnTimer {
	if !c.TimeTurns {
		return TurnTimer{}
	}
	return TurnTimer{counts: &c.turns}
}

// Begin begins a turn, or a part of one; End or Over has to follow.
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

// Over ends the last part of a turn, and counts it.
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
