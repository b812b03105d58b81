package cluster

import (
	"testing"
	"time"
)

// A message is counted once, however often it is delivered. It is not counted if the next one was
// published before it was delivered.
func TestInFlight(t *testing.T) {
	var f inFlight
	if f.waits() != 0 {
		t.Error("a message waits before one was published")
	}
	f.begin(1)
	time.Sleep(time.Millisecond)
	if f.waits() < time.Millisecond {
		t.Errorf("the message waits for %v", f.waits())
	}
	f.delivered(1)
	f.delivered(1)
	f.begin(2)
	f.delivered(1)
	if took := f.latency(); took.Count != 1 || took.Sum < time.Millisecond || took.Within[0] != 0 {
		t.Errorf("%+v", took)
	}
	f.begin(0)
	f.delivered(0)
	if f.waits() != 0 || f.latency().Count != 1 {
		t.Errorf("without a message: waits for %v, %+v", f.waits(), f.latency())
	}
}

// A message counts in each bucket whose bound is at least as long as the message took.
func TestLatency(t *testing.T) {
	var l Latency
	for _, bound := range LatencyBounds {
		l.add(bound)
	}
	l.add(time.Minute)
	for i, n := range l.Within {
		if n != uint64(i)+1 {
			t.Errorf("%d within %v", n, LatencyBounds[i])
		}
	}
	if l.Count != uint64(len(LatencyBounds))+1 {
		t.Errorf("%d messages were counted", l.Count)
	}
}
