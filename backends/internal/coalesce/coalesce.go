// Package coalesce decides how long the output of the room waits, so that more messages share a
// write to each client (backends.Coalesce). A transport asks it at the end of a turn in which the
// room's log has grown, and tells it when it writes.
//
// With n messages in a write a delivery costs F/n + V: F for the packet, V for the octets. A turn that
// writes at once has n = 1 until the core is nearly saturated. With a wait of L, and messages at a
// rate r, n is about 1 + r·L.
//
// A Controller does not read a clock and does not wait: time is an argument. It belongs to one
// goroutine, the one that writes or makes others write. So does a CPUClock, which is for transports
// that cannot see how long they wait.
package coalesce

import (
	"time"

	"chatbench/backends"
)

// Moment is what a transport knows when it asks a Controller.
type Moment struct {
	Time time.Time
	Idle time.Duration // how long it had nothing to do since it started; only for auto
	Said uint64        // core.Room.Said
}

// The constants of backends.CoalesceAuto.
const (
	autoMost    = time.Millisecond // the longest wait
	moreGrowths = 2                // a wait is as long as the log takes to grow so many times, on average
	busyLeast   = 4                // no wait if busy for less than 1/4 of the time
	idleLeast   = 8                // no wait if idle, in this cycle, for less than 1/8 of its busy time
	largeWrite  = 8 << 10          // no wait if a write carries more octets than this, on average
	usefulLeast = 0.25             // no wait if a smaller share of the waits was useful,
	retry       = 128              // except for one in so many
	smoothing   = 16               // each new value counts for 1/16 of an average
	longest     = 8                // no wait after an idle time of more than so many average busy times; it counts as so many
)

// Controller is the decision for one loop, or for all writers of a room.
//
// With a fixed time, output is due so long after the beginning of the turn in which the log grew. With
// backends.CoalesceAuto the time is chosen as follows. A cycle goes from one write to the next, without
// the time that output waited; for a part of it the transport is busy, for the rest it is idle. The
// averages of both say how much of the transport's time it takes to write each growth of the log by
// itself, and how soon the log grows again. Output waits as long as it takes the log to grow twice more,
// on average, but at most 1 ms. It is written at once
//
//   - if the transport is busy for less than a quarter of its time, or was just idle for more than
//     eight times its average busy time: then there is no need to save work;
//   - if the transport was hardly idle since it last wrote: then input gathers by itself, and at
//     saturation a wait would only cost;
//   - if a write carries more than 8 KiB: then its packet is not what costs, and clients that send when
//     they have received their last message would only receive it later;
//   - if fewer than a quarter of the waits were useful, that is, brought another message. Even then one
//     in 128 is tried.
//
// In the average an idle time counts as at most eight busy ones, so that a long silence, or a time in
// which the process was stopped, soon has no effect.
type Controller struct {
	setting backends.Coalesce

	waiting bool
	due     time.Time
	from    Moment // when the wait began
	last    Moment // when the transport last began to write

	busy, idle time.Duration // in a cycle, on average
	useful     float64       // share of the waits that brought another message, on average
	skipped    int           // waits that were not tried because too few were useful
	carried    float64       // octets that the log grew by from one write to the next, on average
}

// New makes a controller for a transport that starts now. It returns nil if setting is off.
func New(setting backends.Coalesce, now Moment) *Controller {
	if setting == backends.CoalesceOff {
		return nil
	}
	return &Controller{setting: setting, last: now, idle: autoMost, useful: 2 * usefulLeast}
}

// Auto says whether Moments need Idle.
func (c *Controller) Auto() bool { return c.setting == backends.CoalesceAuto }

// Waiting says whether output waits. It is false for a nil Controller.
func (c *Controller) Waiting() bool { return c != nil && c.waiting }

// Left is how much longer the output has to wait.
func (c *Controller) Left(now time.Time) time.Duration { return c.due.Sub(now) }

// Waits decides whether the output that is not written yet has to wait. began is when the turn began in
// which the transport learned of it. If Waits returns false, the transport has to write now, and to call
// Writes.
func (c *Controller) Waits(began time.Time, at Moment) bool {
	if !c.waiting {
		c.due = began.Add(c.wait(at))
		c.waiting, c.from = at.Time.Before(c.due), at
		return c.waiting
	}
	return at.Time.Before(c.due)
}

// wait is how long output that has just come has to wait.
func (c *Controller) wait(at Moment) time.Duration {
	if !c.Auto() {
		return time.Duration(c.setting)
	}
	idle := at.Idle - c.last.Idle
	busy := at.Time.Sub(c.last.Time) - idle
	switch {
	case c.busy*busyLeast < c.busy+c.idle, idle > longest*c.busy, idle*idleLeast < busy, c.carried > largeWrite:
		return 0
	case c.useful < usefulLeast:
		if c.skipped++; c.skipped < retry {
			return 0
		}
		c.skipped = 0
	}
	return min(moreGrowths*(c.busy+c.idle), autoMost)
}

// Writes says that the transport begins to write the output of the room, because it is due or for
// another reason.
func (c *Controller) Writes(at Moment) {
	if c.Auto() {
		c.learn(at)
	}
	c.waiting, c.last = false, at
}

// learn adds the cycle that ends to the averages.
func (c *Controller) learn(at Moment) {
	end := at
	if c.waiting {
		end = c.from
		useful := 0.0
		if at.Said > c.from.Said {
			useful = 1
		}
		c.useful += (useful - c.useful) / smoothing
	}
	c.carried += (float64(at.Said-c.last.Said) - c.carried) / smoothing
	idle := max(end.Idle-c.last.Idle, 0)
	busy := max(end.Time.Sub(c.last.Time)-idle, 0)
	c.busy += (busy - c.busy) / smoothing
	c.idle += (min(idle, longest*c.busy) - c.idle) / smoothing
}
