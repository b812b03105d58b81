package fetch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatbench/backends/epoll"
	"chatbench/core"
	"chatbench/core/units"
	"chatbench/loadgen/hist"
	"chatbench/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) string {
	t.Helper()
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.Announce, o.MaxClients = epoll.Backend, "127.0.0.1:0", true, false, 100
	o.Flood = core.Flood{} // more is said than it allows if the files take long
	o.Out, o.Log = io.Discard, slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := server.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s.Addr().String()
}

// clean checks that a run has left nothing behind.
func clean(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	r, err := Run(t.Context(), Config{Server: serve(t), Size: 3*units.MiB + 5, Dir: dir, Turns: 2, Rate: 200, Objective: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if r.Void() || r.Differing != 0 || r.Chat.Lost != 0 || r.Chat.Said == 0 {
		t.Errorf("%+v", r)
	}
	for name, runs := range map[string][]Transfer{"bare": r.Bare, "fetched": r.Fetched, "again": r.Again} {
		if len(runs) != 2 || runs[0].PerSecond <= 0 || Median(runs) <= 0 {
			t.Errorf("%s: %+v", name, runs)
		}
	}
	if r.Ratio <= 0 || r.RatioAgain <= 0 || r.Bound <= 0 || r.Size != 3<<20+5 {
		t.Errorf("%+v", r)
	}
	clean(t, dir)
}

// A run that is interrupted at any point leaves nothing behind.
func TestInterrupted(t *testing.T) {
	addr := serve(t)
	for _, when := range []string{"making", "bare", "fetching", "again", "comparing"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		cfg := Config{Server: addr, Size: 2 * units.MiB, Dir: dir, Turns: 1, Rate: 50, Objective: time.Minute}
		reached := false
		cfg.Progress = func(doing string) {
			if strings.Contains(doing, when) {
				reached = true
				cancel()
			}
		}
		if r, err := Run(ctx, cfg); !errors.Is(err, ErrInterrupted) || r != nil || !reached {
			t.Errorf("%s: %v, %v, reached %v", when, r, err, reached)
		}
		cancel()
		clean(t, dir)
	}
}

func TestRefused(t *testing.T) {
	addr, dir := serve(t), t.TempDir()
	good := Config{Server: addr, Size: 1, Dir: dir, Turns: 1, Rate: 1, Objective: 1}
	for want, change := range map[string]func(*Config){
		"at least 1B":      func(c *Config) { c.Size = 0 },
		"turns must be":    func(c *Config) { c.Turns = 0 },
		"at most 1000/s":   func(c *Config) { c.Rate = 5000 },
		"objective":        func(c *Config) { c.Objective = 0 },
		"a smaller -size":  func(c *Config) { c.Size = 1 << 60 },
		"another -dir":     func(c *Config) { c.Dir = dir + "/nowhere" },
		"cannot reach 127": func(c *Config) { c.Server = "127.0.0.1:1" },
	} {
		cfg := good
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		clean(t, dir)
	}
}

// compare detects a copy that differs from the shared file, whether altered or short.
func TestCompare(t *testing.T) {
	f, err := newFiles(&Config{Size: 2*units.MiB + 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.copied = f.source()
	if err := f.compare(t.Context()); err != nil {
		t.Errorf("the file itself: %v", err)
	}
	data, _ := os.ReadFile(f.source())
	data[len(data)-1]++
	for name, copied := range map[string][]byte{"altered": data, "short": data[:len(data)-1], "empty": nil} {
		if err := os.WriteFile(f.source(), copied, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.compare(t.Context()); !errors.Is(err, errDiffers) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerdict(t *testing.T) {
	second := Transfer{NS: 1e9, CPU: 1e9, PerSecond: 1000}
	r := Result{
		Size: 1000, CPUs: 2, Differing: 1, Bare: []Transfer{second, second},
		Fetched: []Transfer{{PerSecond: 500, RSS: 7}, {PerSecond: 700, RSS: 9}}, Again: []Transfer{{PerSecond: 900}, {PerSecond: 900}},
	}
	r.Chat = Chat{Said: 5, Lost: 2}
	r.Chat.Count, r.Chat.P99NS = 3, int64(time.Second)
	r.finish(&Config{Objective: time.Second - 1})
	if got := strings.Join(r.Violations, "\n"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "1 files") || !strings.Contains(got, "2 of 5") || !strings.Contains(got, "p99 of 1s") {
		t.Errorf("violations: %s", got)
	}
	if r.Ratio != 0.6 || r.RatioAgain != 0.9 || r.RSSGrowth != 9 {
		t.Errorf("%+v", r)
	}
	// Two CPUs, one of which transfers 1000 octets in a second; hashing them takes no time.
	if r.Bound < 1990 || r.Bound > 2000 {
		t.Errorf("bound %.1f", r.Bound)
	}
}

// Messages that come back twice, and texts that were never sent, are not counted.
func TestReceived(t *testing.T) {
	due := time.Now()
	k := talk{latencies: hist.New(), said: []sentMessage{{due: due, timed: true}, {due: due}, {due: due, timed: true}}}
	for _, text := range []string{"0", "0", "1", "3", "-1", "x"} {
		k.received(text, due.Add(time.Millisecond))
	}
	if s := k.latencies.Summary(); k.echoed != 2 || s.Count != 1 || s.MaxNS < 999_000 || !k.pending() {
		t.Errorf("heard %d, %+v", k.echoed, s)
	}
}
