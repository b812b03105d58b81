package backends

import (
	"testing"
	"time"
)

// A turn is the sum of its parts, and is counted once. Parts within parts, and the time between parts, do
// not count.
func TestTurnTimer(t *testing.T) {
	c := &Counters{TimeTurns: true}
	timer := c.TurnTimer()
	begin := func(ago time.Duration) {
		timer.Begin()
		timer.began = timer.began.Add(-ago)
	}
	begin(time.Hour)
	timer.Begin()
	timer.End()
	timer.End()
	begin(2 * time.Hour)
	timer.Begin()
	timer.Over()
	if got := c.Turns(); got.Count != 0 {
		t.Errorf("a turn counts before its end: %+v", got)
	}
	timer.Over()
	if got := c.Turns(); got.Count != 1 || got.Sum < 3*time.Hour || got.Sum > 3*time.Hour+30*time.Minute {
		t.Errorf("a turn of 1 h and 2 h is %+v", got)
	}
	begin(time.Hour)
	timer.Over()
	if got := c.Turns(); got.Count != 2 || got.Sum > 4*time.Hour+30*time.Minute {
		t.Errorf("with one of 1 h it is %+v", got)
	}
}

// Turns are counted within every bound that they do not exceed.
func TestTurnBounds(t *testing.T) {
	var c Counters
	for _, took := range []time.Duration{0, TurnBounds[0], TurnBounds[0] + 1, TurnBounds[2], time.Second, time.Second + 1, time.Hour} {
		c.turns.add(took)
	}
	want := TurnTimes{Count: 7, Sum: time.Hour + 2*time.Second + 1 + 2*TurnBounds[0] + 1 + TurnBounds[2]}
	for i, bound := range TurnBounds {
		switch {
		case bound == time.Second:
			want.Within[i] = 5
		case i >= 2:
			want.Within[i] = 4
		default:
			want.Within[i] = uint64(2 + i)
		}
	}
	if got := c.Turns(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// Turns that are not timed do not read the clock.
func TestTurnsNotTimed(t *testing.T) {
	var c Counters
	timer := c.TurnTimer()
	timer.Begin()
	timer.End()
	timer.Begin()
	timer.Over()
	if timer != (TurnTimer{}) || c.Turns() != (TurnTimes{}) {
		t.Errorf("the timer is %+v, it counted %+v", timer, c.Turns())
	}
}
