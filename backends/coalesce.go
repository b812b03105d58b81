package backends

import (
	"fmt"
	"time"
)

// Coalesce is how long the output of the room may wait, so that several messages share a write to each
// client: CoalesceOff, CoalesceAuto, or a time up to CoalesceMost. Frames for one client alone do not
// wait, and neither does the last output of a session.
//
// It is a flag.Value: off, auto, or a time such as 200us.
type Coalesce time.Duration

const (
	CoalesceOff  Coalesce = 0                               // nothing waits
	CoalesceAuto Coalesce = -1                              // up to 1 ms, while that saves writes: see internal/coalesce
	CoalesceMost Coalesce = Coalesce(10 * time.Millisecond) // the longest time
)

// Two of them as text.
const (
	coalesceOff  = "off"
	coalesceAuto = "auto"
)

func (c Coalesce) String() string {
	switch c {
	case CoalesceOff:
		return coalesceOff
	case CoalesceAuto:
		return coalesceAuto
	}
	return time.Duration(c).String()
}

// Set parses a result of String. If it fails it does not change c.
func (c *Coalesce) Set(text string) error {
	switch text {
	case coalesceOff:
		*c = CoalesceOff
		return nil
	case coalesceAuto:
		*c = CoalesceAuto
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > time.Duration(CoalesceMost) {
		return fmt.Errorf("it must be %s, %s, or a time of at most %v, such as 200us", coalesceOff, coalesceAuto, CoalesceMost)
	}
	*c = Coalesce(d)
	return nil
}
