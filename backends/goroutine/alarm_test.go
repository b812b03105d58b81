package goroutine

import (
	"testing"
	"time"
)

// TestAlarm: an alarm rings once, at its time and not before, and no more after close.
func TestAlarm(t *testing.T) {
	rings := make(chan time.Time, 10)
	a, err := newAlarm(func() { rings <- time.Now() })
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.set(time.Hour) // what counts is the last
	a.set(2 * time.Millisecond)
	select {
	case at := <-rings:
		if at.Sub(began) < 2*time.Millisecond {
			t.Errorf("it rang after %v", at.Sub(began))
		}
	case <-time.After(time.Minute):
		t.Error("it never rang")
	}
	a.set(time.Hour)
	a.close()
	if len(rings) > 0 {
		t.Error("it rang again")
	}
}
