package backends

import (
	"fmt"
	"time"
)

// Coalesce is how long what was said in the room may wait for more, so that all of it
// goes out in one write for each client: CoalesceOff, CoalesceAuto, or a time up to
// CoalesceMost. Frames for one client alone do not wait, nor does what a session is
// given at its end.
//
// It is a flag.Value: off, auto, or a time such as 200us.
type Coalesce time.Duration

const (
	CoalesceOff  Coalesce = 0                               // nothing waits
	CoalesceAuto Coalesce = -1                              // up to 1 ms, while that saves writes: see internal/coalesce
	CoalesceMost Coalesce = Coalesce(10 * time.Millisecond) // the longest time
)

// What flags call two of them.
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

// Set reads what String gives. It leaves c as it is if it fails.
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
		return fmt.Errorf("it is %s, %s, or a time of %v at most, such as 200us", coalesceOff, coalesceAuto, CoalesceMost)
	}
	*c = Coalesce(d)
	return nil
}
