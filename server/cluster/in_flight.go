package cluster

import (
	"sync"
	"time"
)

// LatencyBounds are the upper bounds of the buckets of Latency.
var LatencyBounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Latency is a histogram of how long messages of this server took, from the first try to publish
// a message until the stream delivered it to this server.
type Latency struct {
	Count  uint64
	Sum    time.Duration
	Within [len(LatencyBounds)]uint64 // cumulative: messages that took no longer than each of LatencyBounds
}

func (l *Latency) add(took time.Duration) {
	l.Count++
	l.Sum += took
	for i, bound := range LatencyBounds {
		if took <= bound {
			l.Within[i]++
		}
	}
}

// inFlight is the one message of this server that is being published and has not been delivered
// yet, and the Latency of those that were. Any goroutine may call its methods.
type inFlight struct {
	mu      sync.Mutex
	number  uint64    // of the message; 0: there is none
	since   time.Time // when it was first published
	counted bool      // it was delivered, and is in took
	took    Latency
}

// begin sets the message that is published now; 0: none.
func (f *inFlight) begin(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number, f.since, f.counted = number, time.Now(), false
}

// delivered notes that the stream has delivered a message of this server, perhaps again.
func (f *inFlight) delivered(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number == f.number && number != 0 && !f.counted {
		f.counted = true
		f.took.add(time.Since(f.since))
	}
}

// waits is how long the message has been in flight; 0 if there is none.
func (f *inFlight) waits() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number == 0 {
		return 0
	}
	return time.Since(f.since)
}

func (f *inFlight) latency() Latency {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.took
}
