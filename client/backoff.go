package client

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait before the next try: each time about twice as long, up
// to a limit, with jitter so that clients that lost the same server do not reconnect
// at the same moment. The zero value begins at 250 ms and ends at 5 s.
type Backoff struct {
	Least, Most time.Duration
	tries       int
}

// Next is the wait before the next try: random between half of the step and the whole.
func (b *Backoff) Next() time.Duration {
	least, most := b.Least, b.Most
	if least <= 0 {
		least = 250 * time.Millisecond
	}
	if most <= 0 {
		most = 5 * time.Second
	}
	step := most
	if b.tries < 16 && least<<b.tries < most {
		step = least << b.tries
	}
	b.tries++
	return step/2 + rand.N(step/2+1)
}

// Reset makes the next wait the shortest again.
func (b *Backoff) Reset() { b.tries = 0 }
