package tasks

import (
	"fmt"
	"time"
)

const (
	countAge       = 50 * time.Millisecond // how long a count is used
	failedCountAge = 10 * time.Millisecond // how long a count is used that found too few
	enoughAhead    = 256                   // if so many more are left than are taken, the exact number does not matter
)

// Budget says before each client whether there are tasks for it. The zero Budget is ready for use.
type Budget struct {
	// Margin is how many tasks are left for Go's runtime, which ends the process if it cannot start
	// a thread, and for others.
	Margin int
	// Threads says that the tasks are threads of this process.
	Threads bool

	at     time.Time // when they were counted
	left   int       // beyond the margin
	by     string
	failed bool // the last Take found too few
}

// Take takes n tasks that are about to be started. pending is how many were taken before and are not
// started yet. If too few are left, it takes none, and the error says which limit is the reason.
func (b *Budget) Take(n, pending int) error {
	age := time.Since(b.at)
	if age > countAge || b.left < n && (!b.failed || age > failedCountAge) {
		b.left, b.by = Left(b.Margin+pending+n+enoughAhead, b.Threads)
		b.left -= b.Margin + pending
		b.at = time.Now()
	}
	if b.failed = b.left < n; b.failed {
		return fmt.Errorf("too few threads or processes are left for one more client: %s allows %d more, and %d are kept in reserve",
			b.by, max(b.left+b.Margin+pending, 0), b.Margin)
	}
	b.left -= n
	return nil
}
