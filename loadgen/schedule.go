package loadgen

import (
	"math"
	"time"

	"chatbench/core/units"
)

// Schedule says when each message of an open loop is due. It is a pure
// function of the message's number, the rate and (if random) the seed. It
// knows nothing of the server, so a server that stalls cannot make the
// load wait for it.
type Schedule interface {
	// Due is when message n is due, counted from the start. It never
	// decreases with n. Ask in the order 0, 1, 2, …: that is cheap and
	// allocates nothing.
	Due(n uint64) time.Duration
	// Rate is how many messages are due a second, on average.
	Rate() units.Rate
}

// Fixed is the schedule of equal distances: message n is due at n/rate.
//
// The product is rounded, not the distance: no error adds up over a run.
func Fixed(rate units.Rate) Schedule { return fixed(rate) }

type fixed units.Rate

func (f fixed) Due(n uint64) time.Duration {
	return time.Duration(float64(n) / float64(f) * 1e9)
}

func (f fixed) Rate() units.Rate { return units.Rate(f) }

// Poisson is the schedule of independent senders: the distances are
// independent and exponentially distributed with mean 1/rate.
//
// With U(i) the i-th number of a splitmix64 sequence begun at the seed, as a
// fraction in (0, 1], message n is due at
//
//	Σ(i=0…n) −ln U(i) / rate
//
// since −ln U is exponentially distributed with mean 1 if U is uniform. The sum
// up to the last n asked for is kept; to ask for a smaller n begins anew.
func Poisson(rate units.Rate, seed uint64) Schedule { return &poisson{rate: rate, seed: seed} }

type poisson struct {
	rate units.Rate
	seed uint64
	n    uint64  // messages in the sum
	sum  float64 // in seconds
}

func (p *poisson) Due(n uint64) time.Duration {
	if n+1 < p.n {
		p.n, p.sum = 0, 0
	}
	for ; p.n <= n; p.n++ {
		p.sum -= math.Log(fraction(p.seed, p.n)) / float64(p.rate)
	}
	return time.Duration(p.sum * 1e9)
}

// again returns the same schedule for another section. Random distances are drawn
// again; the first section has those of the first seed.
func again(s Schedule, seed uint64) Schedule {
	if p, random := s.(*poisson); random {
		p.seed, p.n, p.sum = seed, 0, 0
	}
	return s
}

func (p *poisson) Rate() units.Rate { return p.rate }

// fraction is the i-th number of the sequence, in (0, 1].
func fraction(seed, i uint64) float64 {
	x := seed + (i+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return (float64(x>>11) + 1) / (1 << 53)
}
