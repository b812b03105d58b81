package uring

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/core"
	"chatbench/core/wire"
)

// TestConformanceByLoops checks several loops against the contract.
func TestConformanceByLoops(t *testing.T) {
	for _, loops := range []int{2, 8} {
		if testing.Short() && loops == 2 {
			continue
		}
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			b := Backend
			b.Name = fmt.Sprintf("uring with %d loops", loops)
			b.Start = func(cfg backends.Config) (backends.Server, error) {
				cfg.Loops = loops
				return start(cfg)
			}
			backendtest.Run(t, b)
		})
	}
}

// TestSpread: all loops have the same number of connections, give or take those that were accepted at the
// same moment.
func TestSpread(t *testing.T) {
	const clients, loops = 1000, 8
	r := serveLoops(t, core.Config{MaxClients: 2 * clients, MaxPending: 2 * clients}, 0, loops)
	for range clients {
		c, err := net.Dial("tcp", r.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	r.eventually(func() bool { return r.room.Snapshot().Clients == clients }, "all are accepted")
	var loads []int
	for _, l := range r.server.(*server).loops {
		loads = append(loads, l.member.Load())
	}
	t.Logf("%d clients of %d loops: %v", clients, loops, loads)
	if slices.Max(loads)-slices.Min(loads) > loops {
		t.Errorf("%d loops have %v connections", loops, loads)
	}
}

// TestHandoverAtShutdown: a socket that one loop hands to another while both end is never lost: it joins and
// leaves, or stays with the first.
func TestHandoverAtShutdown(t *testing.T) {
	for range 10 {
		r := serveLoops(t, core.Config{MaxClients: 5000, MaxPending: 5000}, 0, 4)
		var dialing sync.WaitGroup
		for range 4 {
			dialing.Go(func() {
				for range 1000 {
					c, err := net.Dial("tcp", r.server.Addr().String())
					if err != nil {
						return // nobody listens any more
					}
					defer c.Close()
				}
			})
		}
		r.eventually(func() bool { return r.counters.Accepts.Load() >= 20 }, "some are accepted")
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_ = r.server.Shutdown(ctx)
		cancel()
		dialing.Wait()
		var ends uint64
		for _, n := range r.room.Snapshot().Ends {
			ends += n
		}
		if accepts := r.counters.Accepts.Load(); uint64(accepts) != ends {
			t.Fatalf("%d connections were accepted and %d have left", accepts, ends)
		}
		for _, l := range r.server.(*server).loops {
			if l.member.Load() != 0 || l.member.HasArrivals() {
				t.Fatalf("a loop that has ended counts %d connections, or has some on their way", l.member.Load())
			}
		}
	}
}

// TestTalkByLoops: six clients of several loops say 7 MiB among them, all at once, and
// each hears all of it in the same order. Loops that wait for one another must wait neither for
// one that has nothing to do nor in a circle.
func TestTalkByLoops(t *testing.T) {
	const clients, each, length = 6, 1200, 972
	for _, loops := range []int{1, 2, 8} {
		r := serveLoops(t, core.Config{LagLimit: 8 << 20, MaxClients: 100}, 0, loops)
		var all []*net.TCPConn
		for i := range clients {
			all = append(all, r.login(fmt.Sprint("c", i), 0))
		}
		heard := make([][]byte, clients)
		began := time.Now()
		var wg sync.WaitGroup
		for i, c := range all {
			frame := wire.AppendChat(nil, strings.Repeat(fmt.Sprint(i), length))
			said := clients * each * len(wire.AppendSaid(nil, "c0", frame[1:len(frame)-1]))
			wg.Go(func() {
				for range each / 12 {
					if _, err := c.Write(bytes.Repeat(frame, 12)); err != nil {
						t.Errorf("say: %v", err)
						return
					}
				}
			})
			wg.Go(func() {
				heard[i] = make([]byte, said)
				if _, err := io.ReadFull(c, heard[i]); err != nil {
					t.Errorf("hear: %v", err)
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		t.Logf("%d loops: took %v", loops, took.Round(time.Millisecond))
		if took > timeout {
			t.Errorf("%d loops took %v", loops, took)
		}
		for i := range heard {
			if !bytes.Equal(heard[i], heard[0]) {
				t.Errorf("%d loops: client %d heard something else than client 0", loops, i)
			}
		}
	}
}
