package gate

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"chatbench/core/units"
)

const tenAMinute = units.Rate(10.0 / 60)

func from(addr, name string) attempt { return newAttempt(netip.MustParseAddr(addr), name) }

func TestThrottle(t *testing.T) {
	start := time.Unix(1000, 0)
	tests := []struct {
		name string
		run  func(take func(attempt, time.Duration) bool, giveBack func(attempt)) (passed int)
		want int
	}{
		{"a minute's worth at once", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(int) bool { return take(from("192.0.2.1", "alice"), 0) })
		}, 10},
		{"and one every six seconds", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(121, func(i int) bool { return take(from("192.0.2.1", "alice"), time.Duration(i)*time.Second) })
		}, 10 + 20},
		{"right passwords are free", func(take func(attempt, time.Duration) bool, giveBack func(attempt)) (n int) {
			return count(100, func(int) bool {
				ok := take(from("192.0.2.1", "alice"), 0)
				giveBack(from("192.0.2.1", "alice"))
				return ok
			})
		}, 100},
		{"names are apart", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(i int) bool { return take(from("192.0.2.1", fmt.Sprint("user", i%2)), 0) })
		}, 20},
		{"addresses are apart", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(i int) bool { return take(from(fmt.Sprint("192.0.2.", i%3), "alice"), 0) })
		}, 30},
		{"the addresses of one IPv6 network are not", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(i int) bool { return take(from(fmt.Sprintf("2001:db8::%x", i+1), "alice"), 0) })
		}, 10},
		{"nor an IPv4 address in its IPv6 form", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(i int) bool {
				return take(from([]string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2], "alice"), 0)
			})
		}, 10},
		{"a clock set back gives nothing", func(take func(attempt, time.Duration) bool, _ func(attempt)) (n int) {
			return count(100, func(i int) bool { return take(from("192.0.2.1", "alice"), time.Duration(-i)*time.Second) })
		}, 10},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			th := newThrottle(tenAMinute, 1000)
			take := func(a attempt, d time.Duration) bool { return th.take(a, start.Add(d)) }
			if got := c.run(take, th.giveBack); got != c.want {
				t.Errorf("%d tries pass, want %d", got, c.want)
			}
		})
	}
}

func count(n int, try func(i int) bool) (passed int) {
	for i := range n {
		if try(i) {
			passed++
		}
	}
	return passed
}

// The table is bounded: the least recently used bucket is dropped. Right passwords leave no
// bucket.
func TestThrottleTable(t *testing.T) {
	const most = 16
	th := newThrottle(tenAMinute, most)
	now := time.Unix(1000, 0)
	for range 10 {
		th.take(from("192.0.2.1", "alice"), now)
	}
	for i := range 10 * most {
		if i%5 == 0 && th.take(from("192.0.2.1", "alice"), now) {
			t.Fatalf("an attempt in use was forgotten after %d others", i)
		}
		th.take(from("192.0.2.1", fmt.Sprint("other", i)), now)
		if len(th.buckets) > most || th.recent.Len() != len(th.buckets) {
			t.Fatalf("%d buckets in a list of %d, %d allowed", len(th.buckets), th.recent.Len(), most)
		}
	}
	clean := newThrottle(tenAMinute, most)
	for i := range 100 {
		a := from("192.0.2.1", fmt.Sprint("user", i))
		clean.take(a, now)
		clean.giveBack(a)
	}
	if len(clean.buckets) != 0 {
		t.Errorf("right passwords left %d buckets", len(clean.buckets))
	}
}

// Parallel tries are counted too.
func TestThrottleParallel(t *testing.T) {
	th := newThrottle(tenAMinute, 16)
	now := time.Unix(1000, 0)
	var group sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 100 {
		group.Go(func() {
			if th.take(from("192.0.2.1", "alice"), now) {
				mu.Lock()
				passed++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if passed != 10 {
		t.Errorf("%d of 100 parallel tries pass, want 10", passed)
	}
}
