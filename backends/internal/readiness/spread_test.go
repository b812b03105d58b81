package readiness

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSpread: all loops have the same number of connections, give or take those that were accepted at
// the same moment.
func TestSpread(t *testing.T) {
	const clients = 200
	for _, loops := range []int{2, 4, 8} {
		template := newTestLoop(t, newTestRoom())
		s, err := Start(template.cfg, loops, NewEpoll)
		if err != nil {
			t.Fatal(err)
		}
		for range clients {
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		for template.cfg.Room.Snapshot().Clients < clients {
			time.Sleep(time.Millisecond)
		}
		var loads []int
		for _, l := range s.(*server).loops {
			loads = append(loads, l.member.Load())
		}
		t.Logf("%d clients of %d loops: %v", clients, loops, loads)
		if most := slices.Max(loads) - slices.Min(loads); most > loops {
			t.Errorf("%d loops have %v connections", loops, loads)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(nil)
		s.Shutdown(ctx)
		if n := template.cfg.Room.Snapshot().Clients; n != 0 {
			t.Errorf("%d clients are left in the room", n)
		}
	}
}

// TestWakeAfterEnd: wakes of a loop that has ended are not kept.
func TestWakeAfterEnd(t *testing.T) {
	l := newTestLoop(t, newTestRoom())
	c := &conn{loop: l}
	c.session = l.cfg.Room.Join(netip.AddrPort{}, l, c)
	l.Wake(c.session)
	if len(l.wakes) != 1 {
		t.Fatalf("%d wakes are kept before the end, want 1", len(l.wakes))
	}
	c.inWakes.Store(false)
	if !l.retire() {
		t.Fatal("the loop does not retire")
	}
	l.Wake(c.session)
	if len(l.wakes) != 0 {
		t.Errorf("%d wakes are kept after the end", len(l.wakes))
	}
}

// TestHandoverAtShutdown: a socket that one loop hands to another while both end is never lost: it
// joins and leaves, or stays with the first.
func TestHandoverAtShutdown(t *testing.T) {
	for range 20 {
		template := newTestLoop(t, newTestRoom())
		s, err := Start(template.cfg, 4, NewEpoll)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					c, err := net.Dial("tcp", s.Addr().String())
					if err != nil {
						return // nobody listens any more
					}
					defer c.Close()
				}
			})
		}
		for template.cfg.Counters.Accepts.Load() < 20 {
			time.Sleep(100 * time.Microsecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		s.Shutdown(ctx)
		cancel()
		wg.Wait()
		var ends uint64
		for _, n := range template.cfg.Room.Snapshot().Ends {
			ends += n
		}
		if accepts := template.cfg.Counters.Accepts.Load(); uint64(accepts) != ends {
			t.Fatalf("%d connections were accepted and %d have left", accepts, ends)
		}
		for _, l := range s.(*server).loops {
			if n := l.member.Load(); n != 0 || l.member.HasArrivals() {
				t.Fatalf("a loop that has ended counts %d connections, or has some on their way", n)
			}
		}
	}
}

// TestLoopThatEndedReceivesNothing: if the other loop has ended, the loop that accepted a socket keeps it.
func TestLoopThatEndedReceivesNothing(t *testing.T) {
	room := newTestRoom()
	a, b := newTestLoop(t, room), newTestLoop(t, room)
	joinGroup([]*loop{a, b})
	arrive(t, a) // a keeps it: b has no fewer
	if !b.retire() {
		t.Fatal("nothing is on its way, and the loop cannot end")
	}
	arrive(t, a) // b has fewer, but takes none
	if len(a.live) != 2 || a.member.Load() != 2 || b.member.Load() != 0 {
		t.Errorf("%d connections, loads %d and %d; want 2, 2 and 0", len(a.live), a.member.Load(), b.member.Load())
	}
}

// TestAbortTakesArrivals: a loop that cannot go on also closes the sockets on their way to it.
func TestAbortTakesArrivals(t *testing.T) {
	room := newTestRoom()
	a, b := newTestLoop(t, room), newTestLoop(t, room)
	joinGroup([]*loop{a, b})
	arrive(t, a)
	peer, err := net.Dial("tcp", a.listener.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	unix.Poll([]unix.PollFd{{Fd: int32(a.listener.FD), Events: unix.POLLIN}}, 20_000)
	a.accept()
	if b.retire() {
		t.Error("a loop ends with a socket on its way to it")
	}
	if b.abort(); !b.ended || b.member.Load() != 0 || len(b.live) != 0 {
		t.Error("a loop that cannot go on has kept a connection")
	}
}
