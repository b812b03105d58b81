package loadgen

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/loadgen/ledger"
)

func relayLoad(address string) Config {
	return Config{
		Scenario: Relay, Server: address, Pairs: 10, Files: 5, Downloads: 4, Seed: 3,
		Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond,
	}
}

// longDrain is how long nothing may arrive from a server that loses nothing: a
// hundred times what a server with a CPU needs.
const longDrain = 20 * time.Second

// runUntilDelivered runs a load in which something must be sent and arrive in the timed section.
// If neither the generator nor the server got a CPU in time, which is
// not what is tested, it makes the section longer.
func runUntilDelivered(t *testing.T, cfg *Config) (r *Result) {
	t.Helper()
	for range 3 {
		if r = run(t, *cfg); r.Deliveries.InTime > 0 && r.Deliveries.Timed > 0 {
			break
		}
		t.Logf("starved: of %d frames %d arrived within %v; once more with ten times that", r.Deliveries.InAll, r.Deliveries.InTime, cfg.Duration)
		cfg.Duration *= 10
		cfg.Objective *= 10 // the share of it that may be late stays the same
	}
	return r
}

// With a correct server every request is answered, completely and in order, by
// the right client, and everybody receives the chat.
func TestRelay(t *testing.T) {
	address := startNull(t)
	for name, change := range map[string]func(*Config){
		"window":        func(c *Config) { c.Window = 16 },
		"window, chat":  func(c *Config) { c.Window, c.ChatRate = 16, 500 },
		"rate":          func(c *Config) { c.Rate = 5000 },
		"poisson, chat": func(c *Config) { c.Rate, c.Poisson, c.ChatRate = 2000, true, 500 },
		"lists only":    func(c *Config) { c.Window, c.Downloads = 3, 0 },
		"long names":    func(c *Config) { c.Window, c.Files, c.Size = 64, 64, 255 },
	} {
		cfg := relayLoad(address)
		cfg.Drain, cfg.Objective = longDrain, 5*time.Second // a hundred times the usual: it may be slow
		change(&cfg)
		r := runUntilDelivered(t, &cfg)
		if !r.Ledger.Clean() || r.Messages.InAll == 0 || r.Requests.Answered != r.Messages.InAll {
			t.Errorf("%s: %d of %d requests answered; %+v", name, r.Requests.Answered, r.Messages.InAll, r.Ledger)
		}
		if r.Void() {
			t.Errorf("%s: %v", name, r.Violations)
		}
		if off := float64(r.Deliveries.Due)/float64(r.Messages.Due)/r.PerMessage - 1; cfg.Rate > 0 && !(off < 0.1 && off > -0.1) {
			t.Errorf("%s: %d frames due of %d requests, want about %.2f for each", name, r.Deliveries.Due, r.Messages.Due, r.PerMessage)
		}
		if in := r.Deliveries.InTime; in == 0 || in > r.Deliveries.InAll {
			t.Errorf("%s: %d of %d frames in time", name, in, r.Deliveries.InAll)
		}
		frames := float64(r.Deliveries.InAll) / float64(r.Messages.InAll)
		if off := frames/r.PerMessage - 1; off > 0.1 || off < -0.1 {
			t.Errorf("%s: %.2f frames a request, want about %.2f", name, frames, r.PerMessage)
		}
		heard := uint64(0)
		for chat := Fixed(cfg.ChatRate); cfg.ChatRate > 0 && chat.Due(heard/30) < cfg.Warmup+cfg.Duration; {
			heard += 30
		}
		if r.Requests.Heard != heard {
			t.Errorf("%s: %d chat deliveries, want %d", name, r.Requests.Heard, heard)
		}
		if open := cfg.Rate > 0; open != (r.FromDue.Count > 0) || open && r.FromDue.Count != int64(r.Messages.Due) {
			t.Errorf("%s: %d of %d requests have a latency from due", name, r.FromDue.Count, r.Messages.Due)
		}
	}
}

// One frame in a whole run that is damaged, or delivered to the wrong client,
// is found, and classified correctly where that is possible. It is a frame with a name
// in it: requests for a list are all equal, so swapping two of them is
// no damage, and the machine determines which frame comes when.
func TestRelaySabotageIsCaught(t *testing.T) {
	for damage, want := range map[string]func(ledger.Tally) bool{
		"":          ledger.Tally.Clean,
		"drop":      func(l ledger.Tally) bool { return l.Lost > 0 && l.Duplicated+l.Altered == 0 },
		"duplicate": func(l ledger.Tally) bool { return l == ledger.Tally{Duplicated: 1} },
		"reorder":   func(l ledger.Tally) bool { return l.Reordered > 0 },
		"alter":     func(l ledger.Tally) bool { return l.Altered == 1 },
		"no notice": func(l ledger.Tally) bool { return l.Lost > 0 },
		"misroute":  func(l ledger.Tally) bool { return l.Altered == 1 },
	} {
		for seed, spoils := range []wire.Command{wire.LsBody, wire.DnReq} {
			seed := uint64(seed)
			s := newRoom(t, seed, func(r *room) { r.damage, r.damagedCommand = damage, spoils })
			cfg := relayLoad(s.Addr().String())
			cfg.Rate, cfg.Seed, cfg.Warmup, cfg.Drain = 1500, seed, 0, longDrain
			if damage == "no notice" { // the last of them is waited for in vain
				cfg.Drain = 200 * time.Millisecond
			}
			if r := run(t, cfg); !want(r.Ledger) || damage != "" && !r.Void() {
				t.Errorf("%q, seed %d: %+v, %v", damage, seed, r.Ledger, r.Violations)
			}
		}
	}
}

// Nothing is allocated for a correct frame.
func TestNothingAllocatedPerFrame(t *testing.T) {
	cfg := relayLoad(startNull(t))
	cfg.Window, cfg.ChatRate = 16, 100
	allocatesAtMost(t, cfg, 100)
}

// An asker that is never answered stops at its window.
func TestRelayWindowHolds(t *testing.T) {
	s := newRoom(t, 1, func(r *room) { r.mute = true })
	cfg := relayLoad(s.Addr().String())
	cfg.Window, cfg.Drain = 3, 100*time.Millisecond
	r := run(t, cfg)
	if r.Messages.InAll != 3*10 || r.Requests.Answered != 0 || r.Requests.Unanswered != 30 || r.Ledger.Lost == 0 || !r.Void() {
		t.Errorf("%d requests, %+v", r.Messages.InAll, r.Ledger)
	}
}

// At every moment the same share of the pairs asks for files, and half of those
// requests are refused.
func TestRequestsAreMixed(t *testing.T) {
	q := requests{files: 5, downloads: 4}
	frames := 0
	for n := range uint64(100) {
		var of [3]int
		for pair := range 80 {
			of[q.kind(pair, n)]++
			frames += q.relayed(pair, n)
		}
		if of != [3]int{60, 10, 10} {
			t.Errorf("requests %d: %d lists, %d files, %d refused", n, of[list], of[file], of[refused])
		}
	}
	if mean := float64(frames) / 8000; mean != q.mean() {
		t.Errorf("%v frames a request, said to be %v", mean, q.mean())
	}
}

// Idle clients log in one by one, are timed, and stay silent.
func TestIdle(t *testing.T) {
	r := run(t, Config{Scenario: Idle, Server: startNull(t), Clients: 50, Duration: 100 * time.Millisecond})
	if r.Void() || r.Login.Count != 50 || r.Login.P50NS <= 0 || r.Messages.InAll != 0 || r.Loop != None {
		t.Errorf("%+v", r)
	}
}

// With a ramp clients connect when they are due, and not one by one.
func TestRamp(t *testing.T) {
	begun := time.Now()
	r := run(t, Config{Scenario: Idle, Server: startNull(t), Clients: 20, Ramp: 300 * time.Millisecond, Duration: time.Millisecond})
	if took := time.Since(begun); took < 280*time.Millisecond || r.Login.Count != 20 || r.Generator.Lag.Count != 20 {
		t.Errorf("%d were in after %v; the last is due after 285 ms", r.Login.Count, took)
	}
}

// TestFirst: a part of the idle clients connects first, and while OnFirst is called no
// other client is connected. The others are due as if there had been no stop: the stop is in
// no login time and in no lateness.
func TestFirst(t *testing.T) {
	for _, ramp := range []time.Duration{0, time.Millisecond, 40 * time.Millisecond} {
		var r *Result
		in := true // the stop is in the figures, or the machine was as slow: then it is tried with a longer one
		for stop := 100 * time.Millisecond; in && stop < 10*time.Second; stop *= 4 {
			server := startNull(t)
			there, calls := -1, 0
			begun := time.Now()
			r = run(t, Config{Scenario: Idle, Server: server, Clients: 20, First: 5, Ramp: ramp, Duration: stop, OnFirst: func() {
				there, calls = connected(t, server), calls+1
			}})
			if calls != 1 || there != 5 {
				t.Errorf("ramp %v: OnFirst was called %d times, with %d connected", ramp, calls, there)
			}
			if took := time.Since(begun); took < 2*stop || r.Login.Count != 20 {
				t.Errorf("ramp %v: %d logins, over after %v, with two stops of %v", ramp, r.Login.Count, took, stop)
			}
			in = r.Login.P50NS >= int64(stop) || r.Generator.Lag.P50NS >= int64(stop)
		}
		if in {
			t.Errorf("ramp %v: the stop is in the figures: %+v, lateness %+v", ramp, r.Login.Summary, r.Generator.Lag.Summary)
		}
	}
	for _, c := range []Config{
		{Scenario: Idle, Clients: 5, First: 5}, {Scenario: Idle, Clients: 5, First: -1}, {Clients: 5, Window: 1, First: 2},
	} {
		if c.Server = "127.0.0.1:9"; !errors.Is(c.Check(), ErrConfig) {
			t.Errorf("%d of %d clients first, %q: %v", c.First, c.Clients, c.Scenario, c.Check())
		}
	}
}

// connected is how many connections to a port of this machine its clients have.
func connected(t *testing.T, server string) (n int) {
	t.Helper()
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) { // sl local remote state: 01 is ESTABLISHED
		if f := strings.Fields(line); len(f) > 3 && f[3] == "01" && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", to.Port())) {
			n++
		}
	}
	return n
}

func TestImpossibleRelays(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no pairs":    func(c *Config) { c.Pairs = 0 },
		"files":       func(c *Config) { c.Files = 65 },
		"downloads":   func(c *Config) { c.Downloads = -1 },
		"size":        func(c *Config) { c.Size = 256 },
		"chat rate":   func(c *Config) { c.ChatRate = -1 },
		"talkers":     func(c *Config) { c.Senders = 3 },
		"window":      func(c *Config) { c.Window = 1025 },
		"both loops":  func(c *Config) { c.Rate = 5 },
		"neither":     func(c *Config) { c.Window = 0 },
		"no scenario": func(c *Config) { c.Scenario = "storm" },
		"idle":        func(c *Config) { c.Scenario, c.Clients = Idle, 5 },
	} {
		cfg := relayLoad("127.0.0.1:9")
		cfg.Window = 5
		change(&cfg)
		if err := cfg.Check(); !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
