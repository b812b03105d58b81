// Package slowdown makes a server slower by a known amount, to test
// whether the bench finds it. It is linked into no program that is
// shipped: bench/proofs builds a chatd whose core calls Charge.
//
// It does not know what a delivery costs: the calibration supplies that. Charge may
// be called from any goroutine, and uses the CPU of its caller.
package slowdown

import (
	"sync/atomic"
	"time"
)

// step is how much debt is collected before it is spun off: many times the cost of reading
// the clock, and little compared with a turn of the server.
const step = 500 * time.Nanosecond

// Charge charges for one write that gave out so many octets of frames. A delivery
// costs more by its octets, and by its share of the write that it was in:
// both in femtoseconds, because at saturation 5 % of a delivery is less than one
// nanosecond, and an octet's part of it is a hundredth of that. The debt adds up
// and is spun off in steps.
func Charge(octets int, perWrite, perOctet int64) { server.add(perWrite + int64(octets)*perOctet) }

// server is the debt of this process.
var server = debt{now: sinceStart}

var start = time.Now()

// sinceStart is the monotonic clock.
func sinceStart() time.Duration { return time.Since(start) }

// debt is CPU time that has to be spent and has not been spent yet.
type debt struct {
	owed atomic.Int64 // femtoseconds; below 0 what was spent too much
	now  func() time.Duration
	read time.Duration // what reading the clock costs
}

const perNano = 1_000_000

// add adds to the debt, and spends the debt if it is a step.
func (d *debt) add(femtoseconds int64) {
	owed := d.owed.Add(femtoseconds)
	if owed < int64(step)*perNano || !d.owed.CompareAndSwap(owed, 0) {
		return // if another goroutine adds to the debt at the same moment, the next call spends it
	}
	d.owed.Add(owed - int64(d.spin(time.Duration(owed/perNano)))*perNano)
}

// spin spends at least this time, and returns how long it took. All readings of the clock
// but one lie between its first and its last reading. A step that takes longer
// than it should was interrupted by other processes, which had the CPU in between.
func (d *debt) spin(long time.Duration) time.Duration {
	for began := d.now(); ; {
		if spent := d.now() - began + d.read; spent >= long {
			return min(spent, long+step)
		}
	}
}

func init() {
	const reads = 2000
	began := sinceStart()
	for range reads {
		sinceStart()
	}
	server.read = (sinceStart() - began) / reads
}
