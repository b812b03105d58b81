package gate

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"chatbench/core/units"
)

// attempt is an address and a name whose wrong passwords are counted together. An IPv6 address
// counts as its /64, because whoever has one address of it has all. Loopback does not.
type attempt struct {
	from netip.Prefix
	name string // folded
}

func newAttempt(from netip.Addr, name string) attempt {
	from = from.Unmap().WithZone("")
	bits := from.BitLen()
	if from.Is6() && !from.IsLoopback() {
		bits = 64
	}
	prefix, _ := from.Prefix(bits) // for the zero Addr it is the zero Prefix, which is a key too
	return attempt{prefix, name}
}

// address is the attempt of the same address without a name.
func (a attempt) address() attempt { return attempt{from: a.from} }

// limited says whether wrong passwords also count for the address alone. They do not on loopback:
// behind a proxy or a tunnel on this machine all clients have that address, and one that guesses
// passwords would lock out all.
func (a attempt) limited() bool { return !a.from.Addr().IsLoopback() }

// throttle has a token bucket for each attempt, which holds as many tokens as wrong passwords are
// allowed in a minute, and fills up within a minute. Any goroutine may call it.
//
// It can be used in two ways. With take, a try takes a token before its password is checked, so
// that parallel tries count too, and giveBack returns it after a right password. With has and
// charge only wrong passwords take a token: many people behind one address may log in at once, and
// parallel tries make a debt.
type throttle struct {
	perMinute float64
	most      int // buckets

	mu      sync.Mutex
	buckets map[attempt]*list.Element
	recent  *list.List // of *bucket, the last used in front
}

type bucket struct {
	attempt attempt
	tokens  float64
	at      time.Time // when tokens was right
}

// throttleTable is the number of buckets. To get rid of its own bucket an attacker has to have so
// many other passwords hashed first.
const throttleTable = 8192

func newThrottle(rate units.Rate, most int) *throttle {
	return &throttle{
		perMinute: max(float64(rate)*60, 1),
		most:      most,
		buckets:   make(map[attempt]*list.Element),
		recent:    list.New(),
	}
}

// take takes a token, and says whether there was one.
func (t *throttle) take(a attempt, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(a, now)
	b.fill(t.perMinute, now)
	// Slightly less than a token is enough, because buckets fill by fractions.
	if b.tokens < 1-1e-9 {
		return false
	}
	b.tokens--
	return true
}

// has says whether there is a token, and takes none.
func (t *throttle) has(a attempt, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buckets[a] == nil {
		return true
	}
	b := t.bucket(a, now)
	b.fill(t.perMinute, now)
	return b.tokens >= 1-1e-9
}

// charge takes a token for a wrong password, even if there is none. The debt is
// at most a minute's worth.
func (t *throttle) charge(a attempt, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(a, now)
	b.fill(t.perMinute, now)
	b.tokens = max(b.tokens-1, -t.perMinute)
}

// giveBack returns the token of a try that was not a wrong password.
func (t *throttle) giveBack(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.buckets[a]
	if e == nil {
		return
	}
	b := e.Value.(*bucket)
	if b.tokens++; b.tokens >= t.perMinute {
		t.drop(e) // a full bucket need not be kept
	}
}

// bucket finds or makes a bucket. If there are too many it drops the least recently used.
func (t *throttle) bucket(a attempt, now time.Time) *bucket {
	if e := t.buckets[a]; e != nil {
		t.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if len(t.buckets) >= t.most {
		t.drop(t.recent.Back())
	}
	b := &bucket{attempt: a, tokens: t.perMinute, at: now}
	t.buckets[a] = t.recent.PushFront(b)
	return b
}

func (t *throttle) drop(e *list.Element) {
	delete(t.buckets, e.Value.(*bucket).attempt)
	t.recent.Remove(e)
}

func (b *bucket) fill(perMinute float64, now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+d.Minutes()*perMinute, perMinute)
		b.at = now
	}
}
