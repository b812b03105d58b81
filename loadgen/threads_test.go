package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

// TestAssignClients: every thread has its share of senders and of other clients on every server, to within one
// of each, and every client belongs to a thread.
func TestAssignClients(t *testing.T) {
	for _, c := range []struct{ clients, senders, servers, threads int }{
		{1, 1, 1, 1}, {10, 3, 1, 1}, {100, 10, 1, 2}, {100, 10, 2, 1}, {100, 10, 2, 2}, {100, 100, 3, 4}, {1000, 7, 3, 8}, {6, 1, 2, 3},
	} {
		at := Config{Clients: c.clients, Senders: c.senders}.senders()
		server, shares := assignClients(c.clients, at, c.servers, c.threads)
		seen := make([]bool, c.clients)
		senders, others := make(map[[2]int]int), make(map[[2]int]int)
		for thread, share := range shares {
			if !slices.IsSorted(share) {
				t.Errorf("%+v: share %v", c, share)
			}
			for _, i := range share {
				if seen[i] {
					t.Fatalf("%+v: client %d is dealt twice", c, i)
				}
				if seen[i] = true; slices.Contains(at, i) {
					senders[[2]int{thread, server[i]}]++
				} else {
					others[[2]int{thread, server[i]}]++
				}
			}
		}
		if slices.Contains(seen, false) {
			t.Errorf("%+v: some clients are not assigned", c)
		}
		for thread := range c.threads {
			for s := range c.servers {
				k, hands := [2]int{thread, s}, c.servers*c.threads
				if n := senders[k]; n != c.senders/hands && n != c.senders/hands+1 {
					t.Errorf("%+v: %v has %d senders", c, k, n)
				}
				if n, in := senders[k]+others[k], c.clients/hands; n != in && n != in+1 {
					t.Errorf("%+v: %v has %d clients", c, k, n)
				}
			}
		}
	}
}

// TestThreadsOpenLoop: whatever the number of threads, the same messages are due at the same
// times, and each is delivered to everybody, checked, and timed if it belongs to the
// timed section.
func TestThreadsOpenLoop(t *testing.T) {
	address := startNull(t)
	for _, poisson := range []bool{false, true} {
		for _, threads := range []int{2, 3} {
			cfg := Config{
				Server: address, Threads: threads, Clients: 20, Senders: 7, Rate: 2000, Poisson: poisson, Size: 33, Seed: 5,
				Warmup: 200 * time.Millisecond, Duration: 250 * time.Millisecond, Ramp: 20 * time.Millisecond,
			}
			started, ended, quiet := 0, 0, 0
			cfg.OnTimedStart, cfg.OnTimedEnd, cfg.OnQuiet = func() { started++ }, func() { ended++ }, func() { quiet++ }
			r := run(t, cfg)
			s := cfg.schedule()
			var due, inAll uint64
			for ; s.Due(inAll) < cfg.Warmup+cfg.Duration; inAll++ {
				if s.Due(inAll) >= cfg.Warmup {
					due++
				}
			}
			if !r.Ledger.Clean() || r.Messages.InAll != inAll || r.Messages.Due != due || r.Messages.Unsent != 0 {
				t.Errorf("poisson %v, %d threads: %+v, want %d and %d; %+v", poisson, threads, r.Messages, inAll, due, r.Ledger)
			}
			if r.Deliveries.InAll != 20*inAll || r.Deliveries.Timed != 20*due || r.Deliveries.Due != 20*due {
				t.Errorf("poisson %v, %d threads: %+v, want 20 of each message", poisson, threads, r.Deliveries)
			}
			if n := uint64(r.FromDue.Count); n != 20*due || uint64(r.FromSend.Count) != n || uint64(r.Generator.Lag.Count) != due || r.Login.Count != 20 {
				t.Errorf("poisson %v, %d threads: %d latencies from due, %d from send, %d lags, %d logins",
					poisson, threads, n, r.FromSend.Count, r.Generator.Lag.Count, r.Login.Count)
			}
			if started != 1 || ended != 1 || quiet != 1 || len(r.Generator.Threads) != threads {
				t.Errorf("%d threads: hooks were called %d, %d and %d times; %+v", threads, started, ended, quiet, r.Generator.Threads)
			}
			if r.FromDue.MeanNS < r.FromSend.MeanNS {
				t.Errorf("poisson %v: from due %v is shorter than from send %v", poisson, r.FromDue.MeanNS, r.FromSend.MeanNS)
			}
		}
	}
}

// TestThreadsClosedLoop: every sender of every thread has its window and no more.
func TestThreadsClosedLoop(t *testing.T) {
	cfg := Config{Server: startNull(t), Threads: 2, Clients: 50, Senders: 10, Window: 16, Warmup: 200 * time.Millisecond, Duration: 300 * time.Millisecond}
	r := runUntilDelivered(t, &cfg)
	if !r.Ledger.Clean() || r.Void() || r.Deliveries.Timed == 0 || r.Deliveries.InAll != 50*r.Messages.InAll {
		t.Errorf("%v, %+v, %+v of %d messages", r.Violations, r.Ledger, r.Deliveries, r.Messages.InAll)
	}
	s := newRoom(t, 1, func(r *room) { r.deaf = true })
	r = run(t, Config{Server: s.Addr().String(), Threads: 2, Clients: 5, Senders: 3, Window: 3, Duration: 100 * time.Millisecond, Drain: 100 * time.Millisecond})
	if r.Messages.InAll != 3*3 || r.Ledger != (ledger.Tally{Lost: 3 * 3 * 5}) || !r.Void() {
		t.Errorf("without echoes %d messages; %+v", r.Messages.InAll, r.Ledger)
	}
}

// TestThreadsClosedStart: no thread of a closed loop sends before the instant at which the section
// starts for all.
func TestThreadsClosedStart(t *testing.T) {
	s, err := NewStage(t.Context(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.Join(Config{Server: startNull(t), Clients: 6, Senders: 4, Window: 3, Duration: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.generators.all {
		for _, c := range []struct {
			at   time.Duration
			want uint64
		}{{-1, 0}, {0, 2 * 3}, {1, 2 * 3}} {
			g.begin(int64(time.Hour), 0, time.Second)
			if err := g.load.offer(int64(time.Hour + c.at)); err != nil {
				t.Fatal(err)
			}
			if sent, _, _ := g.load.counts(); sent != c.want {
				t.Errorf("thread %d, %v after the start: %d messages, want %d", g.place, c.at, sent, c.want)
			}
		}
	}
}

// TestThreadsFindSabotage: damage to a delivery to a single client is found, whichever
// thread drives it and whoever was the sender.
func TestThreadsFindSabotage(t *testing.T) {
	for _, damage := range []string{"", "drop", "duplicate", "reorder", "alter"} {
		for i := range uint64(2) {
			t.Run(fmt.Sprintf("%s/%d", damage, i), func(t *testing.T) {
				s := newRoom(t, i, func(r *room) {
					r.script = message.Script{Size: 64, Seed: i}
					r.messages, r.damage, r.all = 200, damage, i == 1
				})
				r := run(t, Config{
					Server: s.Addr().String(), Threads: 3, Clients: 12, Senders: 5, Rate: 5000, Seed: i,
					Duration: 200 * time.Millisecond, Drain: longDrain,
				})
				n := s.damages()
				want := map[string]ledger.Tally{
					"drop": {Lost: n}, "duplicate": {Duplicated: n}, "reorder": {Reordered: n}, "alter": {Altered: n},
				}[damage]
				if r.Ledger != want || (damage != "") != (n > 0) || r.Void() && damage == "" && r.Ledger.Clean() && r.Messages.Unsent > 0 {
					t.Errorf("%+v, want %+v", r.Ledger, want)
				}
				if r.Notices != 12 {
					t.Errorf("%d notices", r.Notices)
				}
			})
		}
	}
}

// TestThreadsCompareOrders: if all clients of one thread see two messages in another order
// than those of the other thread, no ledger finds anything, but together they do.
func TestThreadsCompareOrders(t *testing.T) {
	for _, odd := range []bool{false, true} {
		cfg := Config{Threads: 2, Clients: 10, Senders: 4, Rate: 2000, Duration: 200 * time.Millisecond, Seed: 1}
		_, shares := assignClients(cfg.Clients, cfg.senders(), 1, 2)
		var names []string
		for _, i := range shares[1] {
			names = append(names, message.Name(i))
		}
		s := newRoom(t, 1, func(r *room) {
			r.script = message.Script{Size: 64, Seed: 1}
			r.odd = func(name string) bool { return odd && slices.Contains(names, name) }
		})
		cfg.Server = s.Addr().String()
		want := ledger.Tally{}
		if odd {
			want.OtherOrder = 5
		}
		if r := run(t, cfg); r.Ledger != want || odd && !strings.Contains(strings.Join(r.Violations, ""), "5 receivers saw another order") {
			t.Errorf("odd %v: %+v, %v", odd, r.Ledger, r.Violations)
		}
	}
}

// TestThreadsInSlices: slices with several threads are like those with one, and each thread's
// schedule continues where it was.
func TestThreadsInSlices(t *testing.T) {
	s, err := NewStage(context.Background(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, cfg := range map[string]Config{
		"open":    {Rate: 1000},
		"poisson": {Rate: 1000, Poisson: true},
		"closed":  {Window: 3},
	} {
		cfg.Clients, cfg.Senders, cfg.Seed = 7, 3, 1
		cfg.Warmup, cfg.Duration = 20*time.Millisecond, 50*time.Millisecond
		cfg.Server = newRoom(t, 1, func(r *room) { r.script.Seed, r.script.Size, r.messages = 1, 64, 1<<40 }).Addr().String()
		f, err := s.Join(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for slice := range 5 {
			r, e, err := f.Slice()
			if err != nil {
				t.Fatal(err)
			}
			if !r.Ledger.Clean() || e.Missing != 0 || e.Deliveries == 0 || r.Login.Count != 7 || e.Wall < cfg.Duration {
				t.Errorf("%s, slice %d: %+v, edges %+v", name, slice, r.Ledger, e)
			}
			if name == "open" && (r.Messages.Due != 50 || e.Deliveries != 7*50 || r.Messages.InAll != uint64(slice+1)*70 || r.FromDue.Count != 7*50) {
				t.Errorf("slice %d: %+v, %d deliveries", slice, r.Messages, e.Deliveries)
			}
		}
		f.Leave()
	}
	if _, err := s.Join(Config{Scenario: Relay, Pairs: 2, Rate: 100, Server: "127.0.0.1:9"}); !errors.Is(err, ErrConfig) {
		t.Errorf("a relay load on two threads: %v", err)
	}
}

// TestThreadsFail: an error of one thread ends the others, and is the error of the run.
func TestThreadsFail(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	s := newRoom(t, 1, func(r *room) { r.cutAt = 100 })
	_, err := Run(context.Background(), Config{Server: s.Addr().String(), Threads: 3, Clients: 6, Rate: 1000, Duration: 20 * time.Second})
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), `saying "you are too slow"`) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := Run(ctx, Config{Server: startNull(t), Threads: 2, Clients: 6, Rate: 1000, Duration: 20 * time.Second}); err != ErrInterrupted {
		t.Errorf("interrupted: %v", err)
	}
	if after := runtime.GOMAXPROCS(0); after != before {
		t.Errorf("GOMAXPROCS is %d after, %d before", after, before)
	}
	for says, cfg := range map[string]Config{
		"2 threads and 3 CPUs":         {Threads: 2, CPU: []int{0, 1, 2}},
		"-1 threads":                   {Threads: -1},
		"give at least 12":             {Threads: 12},
		"for a broadcast load":         {Threads: 2, Scenario: Relay, Pairs: 5},
		"at least 20":                  {Threads: 10, Server: "127.0.0.1:8,127.0.0.1:9"},
		"have an empty one among them": {Server: "127.0.0.1:8,"},
	} {
		if cfg.Server == "" {
			cfg.Server = "127.0.0.1:9"
		}
		if cfg.Rate = 100; cfg.Scenario == "" {
			cfg.Clients = 10
		}
		if _, err := Run(context.Background(), cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}

// TestSeveralServers: clients are spread over the servers of one room, everybody receives
// all messages, and latencies between servers are reported separately.
func TestSeveralServers(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, window := range []int{0, 2} {
			s := newRoom(t, 1, func(r *room) { r.script = message.Script{Size: 64, Seed: 1} })
			cfg := Config{
				Server: s.Addr().String() + "," + s.addListener(t), Threads: threads, Clients: 9, Senders: 3, Rate: 1000, Seed: 1,
				Duration: 100 * time.Millisecond,
			}
			measure := func() *Result { return run(t, cfg) }
			if window > 0 {
				cfg.Rate, cfg.Window = 0, window
				measure = func() *Result { return runUntilDelivered(t, &cfg) }
			}
			r := measure()
			if !r.Ledger.Clean() || r.Deliveries.InAll != 9*r.Messages.InAll || r.Servers == nil {
				t.Fatalf("%+v, %+v of %d messages", r.Ledger, r.Deliveries, r.Messages.InAll)
			}
			server, _ := assignClients(9, cfg.senders(), 2, threads)
			at := make(map[string]int)
			s.Lock()
			for _, m := range s.members {
				if m.conn.LocalAddr().String() != s.Addr().String() {
					at[m.name] = 1
				}
			}
			s.Unlock()
			for i := range server {
				if at[message.Name(i)] != server[i] {
					t.Errorf("%s is on server %d, want %d", message.Name(i), at[message.Name(i)], server[i])
				}
			}
			within, across := r.Servers.Within.Count, r.Servers.Across.Count
			if window == 0 {
				// Senders are on servers 0, 1 and 0, with 5 and 4 clients; of 100 messages the first says 34.
				if within != 67*5+33*4 || across != 67*4+33*5 || r.FromDue.Count != 900 {
					t.Errorf("%d threads: %d within, %d across, %d in all", threads, within, across, r.FromDue.Count)
				}
			} else if within == 0 || across == 0 || within+across != r.FromSend.Count {
				t.Errorf("%d threads: %d within, %d across, %d in all", threads, within, across, r.FromSend.Count)
			}
		}
	}
	down := newRoom(t, 1, func(*room) {})
	_, err := Run(context.Background(), Config{Server: down.Addr().String() + ",127.0.0.1:1", Clients: 4, Rate: 100})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("one of two servers is down: %v", err)
	}
	if r := run(t, Config{Server: startNull(t), Clients: 2, Rate: 100, Duration: 50 * time.Millisecond}); r.Servers != nil {
		t.Error("latencies across servers, of one")
	}
}
