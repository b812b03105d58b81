package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// wait is how many clients wait for a place.
func (h *handshakes) wait() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

// An address that connects and says nothing has its part of the places, and of those
// who may wait for one. All others are served meanwhile.
func TestOneAddressLeavesPlaces(t *testing.T) {
	f, g := start(t, Config{MaxHandshakes: 32, HandshakeTimeout: time.Hour})
	for range 4 + 16 + 15 {
		dialClear(t, f, "127.0.0.2", "")
	}
	await(t, "four have a place, and fifteen are turned away", func() bool {
		return f.Handshakes.Load() == 4 && f.shakes.wait() == 16 && f.TooMany.Load() == 15
	})
	dial(t, f)
	g.next(t)
	dialClear(t, f, "127.0.0.3", "")
	await(t, "another address has a place", func() bool { return f.Handshakes.Load() == 5 })
}

// A place behind a proxy is the client's: one client leaves the others theirs.
func TestPlacesBehindProxy(t *testing.T) {
	f, g := start(t, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, MaxHandshakes: 32, HandshakeTimeout: time.Hour})
	header := func(client string) string { return fmt.Sprintf("PROXY TCP4 %s 192.0.2.1 51000 443\r\n", client) }
	for range 4 + 16 + 1 {
		dialClear(t, f, "127.0.0.2", header("203.0.113.9"))
	}
	await(t, "one is turned away", func() bool { return f.Handshakes.Load() == 4 && f.TooMany.Load() == 1 })
	c := dialClear(t, f, "127.0.0.2", header("203.0.113.10"))
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
		t.Fatal(err)
	}
	if s := g.next(t); s.client.String() != "203.0.113.10:51000" {
		t.Errorf("the transport is told %s", s.client)
	}
}

// Who finds no place waits for one, and is served when there is one. Whoever still
// waits when nobody is accepted any more is cut.
func TestWaitingForPlace(t *testing.T) {
	f, g := start(t, Config{MaxHandshakes: 4, HandshakeTimeout: time.Hour})
	silent := dialClear(t, f, "127.0.0.2", "")
	for range 3 {
		dialClear(t, f, "127.0.0.2", "")
	}
	await(t, "all places are taken", func() bool { return f.Handshakes.Load() == 4 })
	served := make(chan error)
	late := dialClear(t, f, "127.0.0.1", "")
	go func() { served <- tls.Client(late, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	await(t, "one waits", func() bool { return f.shakes.wait() == 1 })
	silent.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	g.next(t)

	dialClear(t, f, "127.0.0.2", "")
	dialClear(t, f, "127.0.0.3", "")
	await(t, "one waits again", func() bool { return f.shakes.wait() == 1 })
	f.StopAccepting()
	await(t, "nobody waits any more", func() bool { return f.shakes.wait() == 0 && f.Handshakes.Load() == 0 })
	if n := f.TooMany.Load(); n != 0 {
		t.Errorf("%d were too many, though the front cut them", n)
	}
}

// The next place goes to the address that has the fewest, and of its clients to the
// one that has waited longest. An address has its part and no more.
func TestTurns(t *testing.T) {
	h := newHandshakes(8)
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")
	turns, ctx := make(chan string), t.Context()
	for range 4 {
		for _, addr := range []netip.Addr{a, b} {
			if !h.enter(ctx, addr, time.Hour) {
				t.Fatal("a free place is not given")
			}
		}
	}
	for i, w := range []struct {
		name string
		addr netip.Addr
	}{{"a1", a}, {"b1", b}, {"a2", a}, {"c1", c}} {
		go func() {
			if h.enter(ctx, w.addr, time.Hour) {
				turns <- w.name
			}
		}()
		await(t, w.name+" waits", func() bool { return h.wait() == i+1 })
	}
	for i, step := range []struct {
		leaves netip.Addr
		turn   string
	}{{b, "c1"}, {b, "b1"}, {a, "a1"}, {c, ""}, {a, "a2"}} {
		h.leave(step.leaves)
		if step.turn == "" {
			continue // a has all it may have
		}
		if got := <-turns; got != step.turn {
			t.Fatalf("step %d: it is the turn of %s, want %s", i, got, step.turn)
		}
	}
	if h.enter(ctx, a, time.Millisecond) || h.wait() != 0 {
		t.Error("an address has more than its part, or waits longer than it is to")
	}
	if !h.enter(ctx, c, 0) {
		t.Error("there is a place, and it is not given")
	}
	for h.taken > 0 {
		for addr, has := range h.of {
			if has.taken > 0 {
				h.leave(addr)
			}
		}
	}
	if len(h.of) != 0 || h.wait() != 0 {
		t.Errorf("%v and %d waiting are left behind", h.of, h.wait())
	}
}

// As many as may wait do; one more is turned away at once, an hour or not. All
// addresses of a /64 are one.
func TestWaitingIsBounded(t *testing.T) {
	h := newHandshakes(8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	host, waiting := 0, 0
	client := func(network string) bool {
		host++
		return h.enter(ctx, netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%s::%x", network, host)), time.Hour)
	}
	queue := func(network string, n int) {
		for range n {
			host++
			addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%s::%x", network, host))
			go func() { ended <- h.enter(ctx, addr, time.Hour) }()
			waiting++
			await(t, "one more waits", func() bool { return h.wait() == waiting })
		}
	}
	for range 4 {
		if !client("1") || !client("2") {
			t.Fatal("a free place is not given")
		}
	}
	queue("1", 16)
	if client("1") {
		t.Error("a place there was not")
	}
	queue("2", 16) // and now as many wait as may in all
	if client("3") {
		t.Error("a place there was not, for somebody new")
	}
	cancel()
	for range waiting {
		if <-ended {
			t.Error("a place there was not, at the end")
		}
	}
	if h.wait() != 0 {
		t.Errorf("%d wait though all have gone", h.wait())
	}
}
