package cluster

import (
	"sync"
	"time"
)

// LatencyBounds are the bounds up to which messages are counted in Latency.
var LatencyBounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Latency is how long messages of this server took, from when each was first published to
// when the stream delivered it to this server.
type Latency struct {
	Count  uint64
	Sum    time.Duration
	Within [len(LatencyBounds)]uint64 // messages that took no longer than each of LatencyBounds
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

// flight is the one message of this server that is on its way to the stream and back, and
// how long those took that came back. Any goroutine may call its methods.
type flight struct {
	mu      sync.Mutex
	number  uint64    // of the message; 0: there is none
	since   time.Time // when it was first to be published
	counted bool      // it was delivered
	took    Latency
}

// begin says which message is to be published now; 0: none.
func (f *flight) begin(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number, f.since, f.counted = number, time.Now(), false
}

// delivered says that the stream has delivered a message of this server, perhaps again.
func (f *flight) delivered(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number == f.number && number != 0 && !f.counted {
		f.counted = true
		f.took.add(time.Since(f.since))
	}
}

// waits is how long the message has been on its way; 0 if there is none.
func (f *flight) waits() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number == 0 {
		return 0
	}
	return time.Since(f.since)
}

func (f *flight) latency() Latency {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.took
}
