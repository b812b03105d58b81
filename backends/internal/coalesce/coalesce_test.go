package coalesce

import (
	"testing"
	"time"

	"chatbench/backends"
)

var epoch = time.Unix(1_000_000_000, 0)

// after is a moment so long after the beginning, at which so much was said.
func after(d time.Duration, said uint64) Moment { return Moment{Time: epoch.Add(d), Said: said} }

const us = time.Microsecond

// TestTime: output is due at a fixed time after the beginning of the turn that brought the first of it,
// whatever is said meanwhile.
func TestTime(t *testing.T) {
	c := New(backends.Coalesce(200*us), after(0, 0))
	if c.Waiting() {
		t.Error("something waits, and nothing was said")
	}
	began := epoch.Add(1000 * us)
	for _, at := range []time.Duration{1010, 1100, 1199} {
		if !c.Waits(began, after(at*us, 7)) || !c.Waiting() {
			t.Errorf("at %d µs it is due, and should be at 1200", at)
		}
		if left := c.Left(epoch.Add(at * us)); left != (1200-at)*us {
			t.Errorf("at %d µs it waits %v more", at, left)
		}
		began = epoch.Add(at * us) // of the turn that brings more
	}
	if c.Waits(began, after(1200*us, 9)) {
		t.Error("it waits for longer than it should")
	}
	if c.Writes(after(1201*us, 9)); c.Waiting() {
		t.Error("it waits, and is written")
	}
	if c.Waits(epoch.Add(3000*us), after(3300*us, 10)) || c.Waiting() {
		t.Error("it waits, though the turn has taken longer than it may")
	}
	c.Writes(after(3300*us, 10))
	c.Waits(epoch.Add(4000*us), after(4001*us, 11))
	c.Writes(after(4002*us, 11)) // for another reason
	if c.Waiting() {
		t.Error("it waits, and is written")
	}
	if c.Waits(epoch.Add(4150*us), after(4160*us, 12)); c.Left(epoch.Add(4160*us)) != 190*us {
		t.Error("the next wait does not count from its own beginning")
	}
}

// TestOff: without a controller nothing waits.
func TestOff(t *testing.T) {
	if c := New(backends.CoalesceOff, Moment{}); c != nil || c.Waiting() {
		t.Error("there is a controller")
	}
}

// TestForgetsSilence: after a night, or after the process was stopped, output waits again within some
// tens of messages.
func TestForgetsSilence(t *testing.T) {
	c := New(backends.CoalesceAuto, after(0, 0))
	now, idle, said := time.Duration(0), time.Duration(0), uint64(0)
	// turn lets the log grow after so long a sleep, and says whether that waits. A wait brings another
	// message.
	turn := func(slept time.Duration) bool {
		now, idle, said = now+slept, idle+slept, said+1
		at := func() Moment { return Moment{epoch.Add(now), idle, said} }
		waits := c.Waits(epoch.Add(now), at())
		if waits {
			now, idle, said = now+autoMost, idle+autoMost, said+1
		}
		c.Writes(at())
		now += 500 * us // to write
		return waits
	}
	until := func(slept time.Duration, want bool) int {
		for n := range 1000 {
			if turn(slept) == want {
				return n
			}
		}
		t.Fatalf("with %v of sleep it never comes to waits %v", slept, want)
		return 0
	}
	until(400*us, true)
	for range 100 {
		turn(400 * us)
	}
	if !turn(400 * us) {
		t.Fatal("it does not wait at half of a core")
	}
	if near := func(got, want time.Duration) bool { return got > want-20*us && got < want+20*us }; !near(c.busy, 500*us) || !near(c.idle, 400*us) {
		t.Errorf("it is busy for %v and idle for %v in a cycle, and should be for 500 and 400 µs: waits are in neither", c.busy, c.idle)
	}
	if turn(8 * time.Hour) {
		t.Error("the first message after a night waits")
	}
	if n := until(400*us, true); n > 20 {
		t.Errorf("it took %d messages after a silence of 8 hours until it waited again", n)
	}
	if n := until(20*time.Millisecond, false); n > 50 {
		t.Errorf("it took %d messages at a low rate until none waited", n)
	}
}
