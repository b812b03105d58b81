package slowdown

import (
	"testing"
	"time"
)

// TestDebt: over many writes the time spent equals the debt, whether a write adds a
// fraction of a step or many steps. Only spinning moves the clock.
func TestDebt(t *testing.T) {
	const read = 30 * time.Nanosecond
	for _, c := range []struct {
		name               string
		writes, octets     int
		perWrite, perOctet int64 // femtoseconds
	}{
		{"a frame a write", 10_000, 72, 140_000_000, 5_000},
		{"hundreds of frames a write", 3_000, 36_000, 140_000_000, 9_123},
		{"less than a nanosecond a write", 2_000_000, 1, 900_000, 7},
		{"many steps a write", 500, 72, 90_000_000_000, 0},
	} {
		var clock, spent time.Duration
		d := debt{read: read}
		d.now = func() time.Duration { clock += read; return clock }
		for range c.writes {
			before := clock
			d.add(c.perWrite + int64(c.octets)*c.perOctet)
			spent += clock - before
		}
		owed := time.Duration(int64(c.writes) * (c.perWrite + int64(c.octets)*c.perOctet) / perNano)
		if off := (spent - owed).Abs(); off > step {
			t.Errorf("%s: owed %v, spent %v", c.name, owed, spent)
		}
	}
}

// TestPreempted: time in which others have the CPU does not count as spent.
func TestPreempted(t *testing.T) {
	const jump = 4 * time.Millisecond
	var clock time.Duration
	d := debt{now: func() time.Duration { clock += jump; return clock }}
	spins := 0
	for range 1000 {
		before := clock
		d.add(int64(step) * perNano)
		if clock > before {
			spins++
		}
	}
	if spins < 500 {
		t.Errorf("of 1000 steps %d were spent", spins)
	}
}

// TestNothingOwed: a debt below a step is not spent.
func TestNothingOwed(t *testing.T) {
	d := debt{now: func() time.Duration { t.Error("the clock was read"); return 0 }}
	d.add(int64(step)*perNano - 1)
	if d.owed.Load() != int64(step)*perNano-1 {
		t.Errorf("%d fs are owed", d.owed.Load())
	}
}

// TestClock: the cost of reading the clock was measured.
func TestClock(t *testing.T) {
	if server.read < 0 || server.read > 100*time.Microsecond {
		t.Errorf("a read costs %v", server.read)
	}
	Charge(1, 2*int64(step)*perNano, 0) // ends
}
