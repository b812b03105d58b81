package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
	"chatbench/loadgen/null"
)

// startNull runs a null server for the length of a test.
func startNull(t *testing.T) (address string) {
	t.Helper()
	s, err := null.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// With a correct server every message is delivered to everybody, checked,
// and timed if and only if it belongs to the timed section.
func TestOpenLoop(t *testing.T) {
	address := startNull(t)
	for _, poisson := range []bool{false, true} {
		cfg := Config{
			Server: address, Clients: 20, Senders: 7, Rate: 2000, Poisson: poisson, Size: 33, Seed: 5,
			Warmup: 200 * time.Millisecond, Duration: 250 * time.Millisecond,
		}
		r := run(t, cfg)
		s := cfg.schedule()
		var due, inAll uint64
		for ; s.Due(inAll) < cfg.Warmup+cfg.Duration; inAll++ {
			if s.Due(inAll) >= cfg.Warmup {
				due++
			}
		}
		if !r.Ledger.Clean() || r.Messages.InAll != inAll || r.Messages.Due != due || r.Messages.Unsent != 0 {
			t.Errorf("poisson %v: %d messages, %d due in time, want %d and %d; %+v", poisson, r.Messages.InAll, r.Messages.Due, inAll, due, r.Ledger)
		}
		if r.Deliveries.InAll != 20*inAll || r.Deliveries.Timed != 20*due {
			t.Errorf("poisson %v: %+v, want 20 of each message", poisson, r.Deliveries)
		}
		if n := uint64(r.FromDue.Count); n != 20*due || uint64(r.FromSend.Count) != n || uint64(r.Generator.Lag.Count) != due {
			t.Errorf("poisson %v: %d latencies from due, %d from send, %d lags", poisson, n, r.FromSend.Count, r.Generator.Lag.Count)
		}
		// What the generator says of itself is of the timed section too, give or take a turn: that may
		// be all that was due and had not come when the section ended.
		late := uint64(float64(cfg.Rate) * time.Duration(r.FromDue.MaxNS).Seconds() * 20)
		if got := r.Generator.RecvOctets / uint64(r.Frame); got > r.Deliveries.InTime+1000+late {
			t.Errorf("poisson %v: received %d frames in time, %d were delivered", poisson, got, r.Deliveries.InTime)
		}
		if r.FromDue.MeanNS < r.FromSend.MeanNS {
			t.Errorf("poisson %v: from due %v is shorter than from send %v", poisson, r.FromDue.MeanNS, r.FromSend.MeanNS)
		}
		if r.Notices != 0 || r.Frame != 1+message.NameLen+2+33+1 {
			t.Errorf("poisson %v: %d notices, frames of %d", poisson, r.Notices, r.Frame)
		}
	}
}

// In a closed loop no sender is ever more than its window ahead of its echo,
// and the result says that it is a closed loop.
func TestClosedLoop(t *testing.T) {
	r := runUntilDelivered(t, &Config{Server: startNull(t), Clients: 10, Senders: 10, Window: 3, Warmup: 50 * time.Millisecond, Duration: 100 * time.Millisecond})
	if !r.Ledger.Clean() || r.Void() || r.Loop != "closed" || r.Arrivals != "window" {
		t.Errorf("%s, %v, %+v", r.Loop, r.Violations, r.Ledger)
	}
	if r.FromDue.Count != 0 || r.Deliveries.Timed == 0 || r.Deliveries.InAll != 10*r.Messages.InAll {
		t.Errorf("%d latencies from due; %+v of %d messages", r.FromDue.Count, r.Deliveries, r.Messages.InAll)
	}
}

// If the kernel takes only a part of a write, the rest is sent later.
func TestPartialWrites(t *testing.T) {
	r := run(t, Config{Server: startNull(t), Clients: 3, Senders: 2, Window: 1000, Size: 4001, Duration: 200 * time.Millisecond})
	if !r.Ledger.Clean() || r.Messages.Unsent != 0 || r.Messages.InAll < 2*1000 {
		t.Errorf("%d messages, %d unsent; %+v", r.Messages.InAll, r.Messages.Unsent, r.Ledger)
	}
}

// Without echoes a sender stops at its window.
func TestWindowHolds(t *testing.T) {
	s := newRoom(t, 1, func(r *room) { r.deaf = true })
	r := run(t, Config{Server: s.Addr().String(), Clients: 4, Senders: 2, Window: 3, Duration: 100 * time.Millisecond, Drain: 100 * time.Millisecond})
	if r.Messages.InAll != 2*3 || r.Ledger != (ledger.Tally{Lost: 2 * 3 * 4}) || !r.Void() {
		t.Errorf("%d messages; %+v", r.Messages.InAll, r.Ledger)
	}
}

// allocatesAtMost runs a load that delivers at least 10,000 frames and allocates at most that
// many objects. A load that allocates for each frame, or for each read, does so every time; but
// everything else in this process may allocate too, and the load may get no CPU.
func allocatesAtMost(t *testing.T, cfg Config, most uint64) {
	t.Helper()
	var r *Result
	for range 5 {
		if r = run(t, cfg); !r.Ledger.Clean() {
			t.Fatalf("%+v", r.Ledger)
		}
		if r.Deliveries.InTime >= 10_000 && r.Generator.HeapObjects <= most {
			return
		}
		t.Logf("%d objects allocated for %d deliveries; once more", r.Generator.HeapObjects, r.Deliveries.InTime)
		if r.Deliveries.InTime < 10_000 {
			cfg.Duration *= 3
		}
	}
	t.Errorf("%s loop, %d threads: %d objects allocated for %d deliveries", r.Loop, max(cfg.Threads, 1), r.Generator.HeapObjects, r.Deliveries.InTime)
}

// Every octet of every delivery is read without allocating anything.
func TestNothingAllocatedPerDelivery(t *testing.T) {
	address := startNull(t)
	for _, cfg := range []Config{
		{Window: 64},
		{Rate: 5000},
		{Window: 64, Threads: 2},
		{Rate: 5000, Threads: 2},
	} {
		cfg.Server, cfg.Clients, cfg.Warmup, cfg.Duration = address, 50, 100*time.Millisecond, 300*time.Millisecond
		allocatesAtMost(t, cfg, 50)
	}
}

// A server that damages one delivery in 10^5, for one client or for all, is
// detected every time, and the damage is classified correctly.
func TestSabotageIsCaught(t *testing.T) {
	for _, damage := range []string{"", "drop", "duplicate", "reorder", "alter"} {
		for i := range uint64(3) {
			all := i%2 == 1
			t.Run(fmt.Sprintf("%s/all=%v/%d", damage, all, i), func(t *testing.T) {
				cfg := Config{
					Clients: 40, Senders: 5, Rate: 10_000, Seed: i,
					Duration: 200 * time.Millisecond, Drain: longDrain,
				}
				s := newRoom(t, i, func(r *room) {
					r.script = message.Script{Size: 64, Seed: i}
					r.messages, r.damage, r.all = 400, damage, all
				})
				cfg.Server = s.Addr().String()
				r := run(t, cfg)
				n := s.damages()
				want := map[string]ledger.Tally{
					"drop": {Lost: n}, "duplicate": {Duplicated: n}, "reorder": {Reordered: n}, "alter": {Altered: n},
				}[damage]
				if r.Ledger != want || (damage != "") != (n > 0) {
					t.Errorf("%+v, want %+v", r.Ledger, want)
				}
				if said := strings.Join(r.Violations, "; "); strings.Contains(said, "deliveries lost") != (damage == "drop") || (damage != "") && !r.Void() {
					t.Errorf("violations: %s", said)
				}
				if r.Notices != 40 { // "welcome"; "hello" came before the login was answered
					t.Errorf("%d notices", r.Notices)
				}
			})
		}
	}
}

// A stall of the server is in the latency of every message that was due
// during the stall: no coordinated omission.
func TestStallIsSeen(t *testing.T) {
	s := newRoom(t, 1, func(r *room) {
		r.stall = func(said int) time.Duration {
			if said == 150 {
				return 200 * time.Millisecond
			}
			return 0
		}
	})
	r := run(t, Config{Server: s.Addr().String(), Clients: 5, Senders: 2, Rate: 1000, Duration: 500 * time.Millisecond})
	if !r.Ledger.Clean() {
		t.Fatalf("%+v", r.Ledger)
	}
	// Of the 200 messages due during the stall those of the first half waited
	// over 100 ms, to five receivers each.
	slow := int64(0)
	for _, bar := range r.FromDue.Histogram.HDR().Distribution() {
		if bar.From >= int64(100*time.Millisecond) {
			slow += bar.Count
		}
	}
	if slow < 90*5 {
		t.Errorf("%d deliveries took 100 ms or more, want at least %d", slow, 90*5)
	}
}

func TestConnectionLost(t *testing.T) {
	s := newRoom(t, 1, func(r *room) { r.cutAt = 100 })
	_, err := Run(context.Background(), Config{Server: s.Addr().String(), Clients: 5, Rate: 1000, Duration: time.Second})
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), `saying "you are too slow"`) || !strings.Contains(err.Error(), "u0000") {
		t.Errorf("%v", err)
	}
}

// The generator neither waits silently for a server that does not read, nor buffers without
// bound.
func TestBackpressure(t *testing.T) {
	s := newRoom(t, 1, func(r *room) { r.stall = func(int) time.Duration { return time.Second } })
	_, err := Run(context.Background(), Config{Server: s.Addr().String(), Clients: 2, Senders: 1, Rate: 1e6, Size: 4000, Duration: 10 * time.Second})
	if !errors.Is(err, ErrBackpressure) || !strings.Contains(err.Error(), "65536 messages") {
		t.Errorf("%v", err)
	}
}

func TestLoginErrors(t *testing.T) {
	s := newRoom(t, 1, func(r *room) { r.deny = "the house is full" })
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	load := Config{Server: s.Addr().String(), Clients: 3, Rate: 100, Duration: time.Second, Connect: longDrain}
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
		says   string
	}{
		"denied":     {func(*Config) {}, ErrDenied, "the house is full"},
		"refused":    {func(c *Config) { c.Server = "127.0.0.1:1" }, ErrUnreachable, "start the server first"},
		"no address": {func(c *Config) { c.Server = "nonsense" }, ErrUnreachable, "nonsense"},
		"no host":    {func(c *Config) { c.Server = ":80" }, ErrUnreachable, "HOST:PORT"},
		"files":      {func(c *Config) { c.Clients = maxClients }, ErrFileLimit, "ulimit -n"},
	} {
		cfg := load
		c.change(&cfg)
		if c.want == ErrFileLimit && limit.Max > maxClients {
			continue
		}
		_, err := Run(context.Background(), cfg)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The generator gives up on a server that accepts connections and says nothing.
func TestSilentServer(t *testing.T) {
	s := newRoom(t, 1, func(*room) {})
	s.Lock() // nobody gets in
	defer s.Unlock()
	_, err := Run(context.Background(), Config{Server: s.Addr().String(), Clients: 3, Rate: 100, Connect: 200 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "0 of 3 clients are in") {
		t.Errorf("%v", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var seen Progress // by one goroutine, which has ended when Run returns
	cfg := Config{Server: startNull(t), Clients: 5, Rate: 1000, Duration: time.Hour}
	cfg.Progress = func(p Progress) {
		if seen.PerSecond > 0 || p.Phase != timed || p.Messages == 0 || p.PerSecond == 0 {
			return
		}
		seen = p
		cancel()
	}
	if _, err := Run(ctx, cfg); err != ErrInterrupted {
		t.Errorf("%v", err)
	}
	if seen.Clients != 5 || seen.PerSecond == 0 || seen.Left < 59*time.Minute {
		t.Errorf("progress %+v", seen)
	}
}

func TestImpossibleLoads(t *testing.T) {
	good := Config{Server: "127.0.0.1:9", Clients: 10, Senders: 5, Rate: 100}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no server":         func(c *Config) { c.Server = "" },
		"no clients":        func(c *Config) { c.Clients = 0 },
		"too many clients":  func(c *Config) { c.Clients = 2e6 },
		"S > N":             func(c *Config) { c.Senders = 11 },
		"negative senders":  func(c *Config) { c.Senders = -1 },
		"rate and window":   func(c *Config) { c.Window = 1 },
		"neither":           func(c *Config) { c.Rate = 0 },
		"rate":              func(c *Config) { c.Rate = 1e9 },
		"negative rate":     func(c *Config) { c.Rate = -1 },
		"window":            func(c *Config) { c.Rate, c.Window = 0, 1e6 },
		"windows together":  func(c *Config) { c.Clients, c.Senders, c.Rate, c.Window = 100, 100, 0, 60000 },
		"size":              func(c *Config) { c.Size = 15 },
		"large size":        func(c *Config) { c.Size = 1 << 20 },
		"negative duration": func(c *Config) { c.Duration = -1 },
		"long duration":     func(c *Config) { c.Duration = 1000 * time.Hour },
		"nothing due":       func(c *Config) { c.Rate, c.Duration = 0.1, time.Second },
		"long warm-up":      func(c *Config) { c.Warmup = 1000 * time.Hour },
		"many messages":     func(c *Config) { c.Rate, c.Duration, c.Senders = 1e6, 10*time.Hour, 1 },
		"window, poisson":   func(c *Config) { c.Rate, c.Window, c.Poisson = 0, 5, true },
		"ceiling":           func(c *Config) { c.Ceiling = -1 },
	} {
		cfg := good
		change(&cfg)
		_, err := Run(context.Background(), cfg)
		if !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCeiling(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	var ceiling float64
	var err error
	for range 5 { // it is less if there is no CPU for it
		if ceiling, err = Ceiling(context.Background(), Config{Clients: 10, Rate: 5}, nil); err == nil && ceiling >= 1000 {
			return
		}
	}
	t.Errorf("%g deliveries/s, %v", ceiling, err)
}

func TestResultIsJSON(t *testing.T) {
	r := run(t, Config{Server: startNull(t), Clients: 4, Rate: 500, Duration: 100 * time.Millisecond})
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !back.FromDue.Histogram.HDR().Equals(r.FromDue.Histogram.HDR()) || back.FromDue.Summary != r.FromDue.Summary || back.Generator.Recvs != r.Generator.Recvs {
		t.Error("what came back differs")
	}
	for _, field := range []string{`"latency_from_due":{"count":200,`, `"p99_ns":`, `"violations":[`, `"generator_limited":[`} {
		if !strings.Contains(string(data), field) {
			t.Errorf("no %s in %s", field, data)
		}
	}
}
