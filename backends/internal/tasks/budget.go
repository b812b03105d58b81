package tasks

import (
	"fmt"
	"time"
)

const (
	fresh = 50 * time.Millisecond // how long a count is good for
	retry = 10 * time.Millisecond // how long a count is that found too few
	ahead = 256                   // tasks that are to be known of beyond those asked for
)

// Budget says before each client whether there are tasks for it. The zero
// Budget, with a Margin, is ready for use.
type Budget struct {
	// Margin is how many tasks are left to others: Go's runtime ends the process
	// when it cannot have a thread.
	Margin int

	at   time.Time // of the count
	left int       // beyond the margin
	by   string
	no   bool // the last Take found too few
}

// Take takes n tasks that are about to be made. pending is how many were taken
// before and are not made yet. The error says that too few are left, and by which
// limit; nothing is taken then.
func (b *Budget) Take(n, pending int) error {
	age := time.Since(b.at)
	if age > fresh || b.left < n && (!b.no || age > retry) {
		b.left, b.by = Left(b.Margin + pending + n + ahead)
		b.left -= b.Margin + pending
		b.at = time.Now()
	}
	if b.no = b.left < n; b.no {
		return fmt.Errorf("no threads or processes are left for one more: %s allows %d more, of which %d are kept back",
			b.by, max(b.left+b.Margin+pending, 0), b.Margin)
	}
	b.left -= n
	return nil
}
