// Package coalesce decides how long what the room has said waits, so that more of it
// goes out in one write for each client (backends.Coalesce). A transport asks it at the
// end of a turn in which the room has grown, and tells it when it writes.
//
// With n messages in a write a delivery costs F/n + V: F for the packet, V for the
// octets. A turn that writes at once has n = 1 until the core is nearly full. With a wait
// of L, and messages at a rate r, n is about 1 + r·L.
//
// A Controller refuses to read a clock and to wait: time is an argument. It belongs to one
// goroutine, the one that writes or has others write, and so does a CPUClock, for transports
// that do not see how long they wait.
package coalesce

import (
	"time"

	"chatbench/backends"
)

// Moment is what a transport knows when it asks.
type Moment struct {
	Time time.Time
	Idle time.Duration // for how long it had nothing to do, since it started; for auto alone
	Said uint64        // core.Room.Said
}

// Of backends.CoalesceAuto.
const (
	autoMost   = time.Millisecond // no wait is longer
	company    = 2                // wait for so many more turns in which the room grows
	busyLeast  = 4                // busy for less than 1/4 of the time: nothing waits
	idleLeast  = 8                // was idle for less than 1/8 of what the last cycle took to work: nothing waits
	fullWrite  = 8 << 10          // octets; a write carries more: nothing waits
	foundLeast = 0.25             // fewer of the waits found company: nothing waits,
	retry      = 128              // but for one of so many
	smoothing  = 16               // of averages: each new value counts for 1/16
	longest    = 8                // was idle for longer than so many average busy times: nothing waits, and it counts as so many
)

// Controller is the decision for one loop, or for all writers of a room.
//
// With a time it is simple: what the room says is due so long after the turn began in
// which it grew. With backends.CoalesceAuto it is this. A cycle goes from one writing
// to the next, without the time that output waited: for some of it the transport is busy,
// for the rest it is idle. Averages of both say how much of its time writing each growth by
// itself takes, and how soon the room grows again. Output waits for as long as it takes
// the room to grow twice more, 1 ms at the most. But it is written at once
//
//   - if the transport is busy for less than a quarter of its time, or was just idle for
//     eight times as long as it is busy in a cycle: there is time enough;
//   - if it went to work again, since it last wrote, almost without a break: input gathers by
//     itself then, and at saturation a wait would only cost;
//   - if a write carries more than 8 KiB: its packet is not what costs then, and senders that
//     wait for what they have sent would only get it later;
//   - if fewer than a quarter of the waits found company. One in 128 is tried all the same.
//
// For the average an idle time counts as eight busy ones at most, so that a long silence, or a
// process that was stopped, is soon forgotten.
type Controller struct {
	setting backends.Coalesce

	waiting bool
	due     time.Time
	from    Moment // when the wait was decided on
	last    Moment // when the transport last began to write

	busy, idle time.Duration // in a cycle, on average
	found      float64       // how many waits found company, on average
	carried    float64       // octets of the room in a write, on average
	skipped    int           // waits that were not tried for that reason
}

// New is a controller for a transport that starts now; nil if setting is off.
func New(setting backends.Coalesce, now Moment) *Controller {
	if setting == backends.CoalesceOff {
		return nil
	}
	return &Controller{setting: setting, last: now, idle: autoMost, found: 2 * foundLeast}
}

// Auto says whether Moments need Idle.
func (c *Controller) Auto() bool { return c.setting == backends.CoalesceAuto }

// Waiting says whether output waits. A nil Controller has none that does.
func (c *Controller) Waiting() bool { return c != nil && c.waiting }

// Left is for how long the output that waits still has to.
func (c *Controller) Left(now time.Time) time.Duration { return c.due.Sub(now) }

// Waits decides whether what the room has said, and is not written, is to wait. began is
// when the turn began in which the transport learned of it. If it is false, the transport
// writes now, and calls Writes.
func (c *Controller) Waits(began time.Time, at Moment) bool {
	if !c.waiting {
		c.due = began.Add(c.wait(at))
		c.waiting, c.from = at.Time.Before(c.due), at
		return c.waiting
	}
	return at.Time.Before(c.due)
}

// wait is for how long what was just said is to wait.
func (c *Controller) wait(at Moment) time.Duration {
	if !c.Auto() {
		return time.Duration(c.setting)
	}
	idle := at.Idle - c.last.Idle
	busy := at.Time.Sub(c.last.Time) - idle
	switch {
	case c.busy*busyLeast < c.busy+c.idle, idle > longest*c.busy, idle*idleLeast < busy, c.carried > fullWrite:
		return 0
	case c.found < foundLeast:
		if c.skipped++; c.skipped < retry {
			return 0
		}
		c.skipped = 0
	}
	return min(company*(c.busy+c.idle), autoMost)
}

// Writes says that the transport begins to write what the room has said, because it was
// due or for another reason.
func (c *Controller) Writes(at Moment) {
	if c.Auto() {
		c.learn(at)
	}
	c.waiting, c.last = false, at
}

// learn takes the cycle that ends into the averages.
func (c *Controller) learn(at Moment) {
	end := at
	if c.waiting {
		end = c.from
		found := 0.0
		if at.Said > c.from.Said {
			found = 1
		}
		c.found += (found - c.found) / smoothing
	}
	c.carried += (float64(at.Said-c.last.Said) - c.carried) / smoothing
	idle := max(end.Idle-c.last.Idle, 0)
	busy := max(end.Time.Sub(c.last.Time)-idle, 0)
	c.busy += (busy - c.busy) / smoothing
	c.idle += (min(idle, longest*c.busy) - c.idle) / smoothing
}
