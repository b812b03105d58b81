package loadgen

import (
	"math"
	"testing"
	"time"
)

func TestFixedSchedule(t *testing.T) {
	for _, c := range []struct {
		rate float64
		n    uint64
		want time.Duration
	}{
		{1000, 0, 0},
		{1000, 1, time.Millisecond},
		{3, 3_000_000, 1e6 * time.Second}, // a third of a second has no exact form: no error adds up
		{0.1, 7, 70 * time.Second},
		{2e6, 4e9, 2000 * time.Second},
	} {
		if got := fixed(c.rate).Due(c.n); got != c.want {
			t.Errorf("%g/s: message %d is due at %v, want %v", c.rate, c.n, got, c.want)
		}
	}
}

// The distances of a Poisson schedule have mean 1/rate and deviate by as much,
// messages in a second number the rate and deviate by its root, and nothing
// depends on the order of the questions.
func TestPoissonSchedule(t *testing.T) {
	const rate, messages = 1000, 200_000
	s := Poisson(rate, 42)
	due := make([]time.Duration, messages)
	var sum, squares float64
	for n := range due {
		due[n] = s.Due(uint64(n))
		gap := due[n].Seconds()
		if n > 0 {
			gap -= due[n-1].Seconds()
		}
		if gap < 0 {
			t.Fatalf("message %d is due before the one before it", n)
		}
		sum += gap
		squares += gap * gap
	}
	mean := sum / messages
	deviation := math.Sqrt(squares/messages - mean*mean)
	if math.Abs(mean*rate-1) > 0.01 || math.Abs(deviation*rate-1) > 0.02 {
		t.Errorf("distances: mean %.3g, deviation %.3g, want both near 1/%d", mean, deviation, rate)
	}
	counts := make([]float64, int(due[messages-1].Seconds()))
	for _, d := range due {
		if i := int(d.Seconds()); i < len(counts) {
			counts[i]++
		}
	}
	squares = 0
	for _, c := range counts {
		squares += (c - rate) * (c - rate)
	}
	if v := squares / float64(len(counts)); v < 0.7*rate || v > 1.4*rate {
		t.Errorf("messages in a second vary by %.0f, want about %d", v, rate)
	}
	for _, n := range []uint64{messages - 1, 5, 5, 6, 0, 1000} {
		if got := s.Due(n); got != due[n] {
			t.Errorf("asked again, message %d is due at %v, was %v", n, got, due[n])
		}
	}
	if Poisson(rate, 43).Due(100) == due[100] {
		t.Error("the seed changes nothing")
	}
}

func TestSchedulesAllocateNothing(t *testing.T) {
	for _, s := range []Schedule{Fixed(1000), Poisson(1000, 1)} {
		n := uint64(0)
		if a := testing.AllocsPerRun(1000, func() { s.Due(n); n++ }); a != 0 {
			t.Errorf("%T: %v allocations a message", s, a)
		}
	}
}
