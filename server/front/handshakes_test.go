package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// waiters is how many clients wait for a slot.
func (h *handshakes) waiters() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

// An address that connects and sends nothing can use only its share of the slots, and of the
// places to wait. Other addresses are served meanwhile.
func TestOneAddressLeavesPlaces(t *testing.T) {
	f, g := start(t, Config{MaxHandshakes: 32, HandshakeTimeout: time.Hour})
	for range 4 + 16 + 15 {
		dialPlaintext(t, f, "127.0.0.2", "")
	}
	await(t, "four have a slot, and fifteen are turned away", func() bool {
		return f.Handshakes.Load() == 4 && f.handshakes.waiters() == 16 && f.TooMany.Load() == 15
	})
	dial(t, f)
	g.next(t)
	dialPlaintext(t, f, "127.0.0.3", "")
	await(t, "another address has a slot", func() bool { return f.Handshakes.Load() == 5 })
}

// Behind a proxy slots count for the client's address: one client cannot use those of others.
func TestPlacesBehindProxy(t *testing.T) {
	f, g := start(t, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, MaxHandshakes: 32, HandshakeTimeout: time.Hour})
	header := func(client string) string { return fmt.Sprintf("PROXY TCP4 %s 192.0.2.1 51000 443\r\n", client) }
	for range 4 + 16 + 1 {
		dialPlaintext(t, f, "127.0.0.2", header("203.0.113.9"))
	}
	await(t, "one is turned away", func() bool { return f.Handshakes.Load() == 4 && f.TooMany.Load() == 1 })
	c := dialPlaintext(t, f, "127.0.0.2", header("203.0.113.10"))
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
		t.Fatal(err)
	}
	if s := g.next(t); s.client.String() != "203.0.113.10:51000" {
		t.Errorf("the transport is told %s", s.client)
	}
}

// A client without a slot waits for one, and is served then. StopAccepting cuts clients that
// still wait.
func TestWaitingForPlace(t *testing.T) {
	f, g := start(t, Config{MaxHandshakes: 4, HandshakeTimeout: time.Hour})
	silent := dialPlaintext(t, f, "127.0.0.2", "")
	for range 3 {
		dialPlaintext(t, f, "127.0.0.2", "")
	}
	await(t, "all slots are in use", func() bool { return f.Handshakes.Load() == 4 })
	served := make(chan error)
	late := dialPlaintext(t, f, "127.0.0.1", "")
	go func() { served <- tls.Client(late, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	await(t, "one waits", func() bool { return f.handshakes.waiters() == 1 })
	silent.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	g.next(t)

	dialPlaintext(t, f, "127.0.0.2", "")
	dialPlaintext(t, f, "127.0.0.3", "")
	await(t, "one waits again", func() bool { return f.handshakes.waiters() == 1 })
	f.StopAccepting()
	await(t, "nobody waits any more", func() bool { return f.handshakes.waiters() == 0 && f.Handshakes.Load() == 0 })
	if n := f.TooMany.Load(); n != 0 {
		t.Errorf("%d were too many, though the front cut them", n)
	}
}

// The next free slot goes to the address that uses the fewest, and among its clients to the one
// that has waited longest. An address can use no more than its share.
func TestTurns(t *testing.T) {
	h := newHandshakes(8)
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")
	turns, ctx := make(chan string), t.Context()
	for range 4 {
		for _, addr := range []netip.Addr{a, b} {
			if !h.acquire(ctx, addr, time.Hour) {
				t.Fatal("a free slot is refused")
			}
		}
	}
	for i, w := range []struct {
		name string
		addr netip.Addr
	}{{"a1", a}, {"b1", b}, {"a2", a}, {"c1", c}} {
		go func() {
			if h.acquire(ctx, w.addr, time.Hour) {
				turns <- w.name
			}
		}()
		await(t, w.name+" waits", func() bool { return h.waiters() == i+1 })
	}
	for i, step := range []struct {
		leaves netip.Addr
		turn   string
	}{{b, "c1"}, {b, "b1"}, {a, "a1"}, {c, ""}, {a, "a2"}} {
		h.release(step.leaves)
		if step.turn == "" {
			continue // a uses its whole share
		}
		if got := <-turns; got != step.turn {
			t.Fatalf("step %d: it is the turn of %s, want %s", i, got, step.turn)
		}
	}
	if h.acquire(ctx, a, time.Millisecond) || h.waiters() != 0 {
		t.Error("an address uses more than its share, or waits longer than its timeout")
	}
	if !h.acquire(ctx, c, 0) {
		t.Error("a free slot is refused")
	}
	for h.taken > 0 {
		for addr, has := range h.byAddress {
			if has.taken > 0 {
				h.release(addr)
			}
		}
	}
	if len(h.byAddress) != 0 || h.waiters() != 0 {
		t.Errorf("%v and %d waiting are left behind", h.byAddress, h.waiters())
	}
}

// If too many clients wait, another one is turned away at once, whatever its timeout. All
// addresses of a /64 count as one.
func TestWaitingIsBounded(t *testing.T) {
	h := newHandshakes(8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	host, waiting := 0, 0
	client := func(network string) bool {
		host++
		return h.acquire(ctx, netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%s::%x", network, host)), time.Hour)
	}
	queue := func(network string, n int) {
		for range n {
			host++
			addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%s::%x", network, host))
			go func() { ended <- h.acquire(ctx, addr, time.Hour) }()
			waiting++
			await(t, "one more waits", func() bool { return h.waiters() == waiting })
		}
	}
	for range 4 {
		if !client("1") || !client("2") {
			t.Fatal("a free slot is refused")
		}
	}
	queue("1", 16)
	if client("1") {
		t.Error("a slot beyond the share of an address")
	}
	queue("2", 16) // now as many wait as may in all
	if client("3") {
		t.Error("a slot for another address, though all are used")
	}
	cancel()
	for range waiting {
		if <-ended {
			t.Error("a slot after the end of ctx")
		}
	}
	if h.waiters() != 0 {
		t.Errorf("%d wait after the end", h.waiters())
	}
}
