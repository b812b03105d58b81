// Package slowdown makes a server dearer by a known amount, so that it can be
// tried whether the bench finds it. It is linked into no program that is
// shipped: bench/proofs builds a chatd whose core calls Gave.
//
// It refuses to know what a delivery costs: whoever calibrates says so. Gave may
// be called from any goroutine, and takes the CPU of whoever calls it.
package slowdown

import (
	"sync/atomic"
	"time"
)

// step is how much is owed before it is spun off: many times what reading the
// clock costs, and little beside what a turn of the server takes.
const step = 500 * time.Nanosecond

// Gave says that one write gave out so many octets of frames. A delivery is to
// cost more by its octets, and by its share of the write that it went out in:
// both in femtoseconds, for at saturation 5 % of a delivery is less than one
// nanosecond, and an octet's part of it a hundredth of that. What is owed adds up
// and is spun off in steps.
func Gave(octets int, perWrite, perOctet int64) { server.add(perWrite + int64(octets)*perOctet) }

// server is what this process owes.
var server = debt{now: sinceStart}

var start = time.Now()

// sinceStart is the monotonic clock.
func sinceStart() time.Duration { return time.Since(start) }

// debt is time that has to be spent and was not yet.
type debt struct {
	owed atomic.Int64 // femtoseconds; below 0 what was spent too much
	now  func() time.Duration
	read time.Duration // what reading the clock costs
}

const perNano = 1_000_000

// add owes more, and spends what is owed if that is a step.
func (d *debt) add(femtoseconds int64) {
	owed := d.owed.Add(femtoseconds)
	if owed < int64(step)*perNano || !d.owed.CompareAndSwap(owed, 0) {
		return // if somebody else owes at the same moment, the next one spends it
	}
	d.owed.Add(owed - int64(d.spin(time.Duration(owed/perNano)))*perNano)
}

// spin spends at least so long, and gives how long it took. Between its first and
// its last look at the clock lie all of its reads but one. What takes a step longer
// than it should was spent by others, who had the CPU meanwhile.
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
