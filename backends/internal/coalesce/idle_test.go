package coalesce

import (
	"testing"
	"time"
)

// TestIdleAcrossNumbersOfProcessors: what is counted for one number of processors stays when
// it changes.
func TestIdleAcrossNumbersOfProcessors(t *testing.T) {
	now := time.Now()
	c := ProcessClock(now)
	if c.Idle(now, 1) != 0 {
		t.Error("it was idle for no time at all")
	}
	now = now.Add(time.Hour)
	const day = 24 * time.Hour
	first := c.Idle(now, 2)
	if first < time.Hour-time.Minute || first > time.Hour {
		t.Errorf("idle for %v of an hour in which nothing was done", first)
	}
	for _, processors := range []int{1, 3, 1000, 2} {
		if got := c.Idle(now, processors); got != first {
			t.Errorf("with %d processors it was idle for %v, and before for %v: no time has passed", processors, got, first)
		}
	}
	if got := c.Idle(now.Add(day), 3) - first; got < day-time.Minute || got > day {
		t.Errorf("idle for %v of a day", got)
	}
}
