package loadgen

import (
	"strings"
	"testing"
	"time"

	"chatbench/loadgen/hist"
)

// A result of 100 clients at 1000/s over 5 s that is correct, and
// what each rule reports when one thing is wrong.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		change            func(*Result, *Config)
		violated, limited string
	}{
		"unanswered":          {func(r *Result, c *Config) { r.Requests = &Requests{Unanswered: 3} }, "3 requests never answered", ""},
		"good":                {func(r *Result, c *Config) {}, "", ""},
		"lost":                {func(r *Result, c *Config) { r.Ledger.Lost = 3 }, "3 deliveries lost", ""},
		"duplicated":          {func(r *Result, c *Config) { r.Ledger.Duplicated = 3 }, "3 deliveries duplicated", ""},
		"reordered":           {func(r *Result, c *Config) { r.Ledger.Reordered = 3 }, "3 deliveries reordered", ""},
		"altered":             {func(r *Result, c *Config) { r.Ledger.Altered = 3 }, "3 deliveries altered", ""},
		"other order":         {func(r *Result, c *Config) { r.Ledger.OtherOrder = 3 }, "3 receivers saw another order", ""},
		"unsent":              {func(r *Result, c *Config) { r.Messages.Unsent = 3 }, "3 messages the server never read", ""},
		"near the ceiling":    {func(r *Result, c *Config) { c.Ceiling = 130e3 }, "", "above 70 %"},
		"far below it":        {func(r *Result, c *Config) { c.Ceiling = 150e3 }, "", ""},
		"lag":                 {func(r *Result, c *Config) { r.Generator.Lag.P99NS = 5_000_001 }, "", "lag p99"},
		"lag of a thread":     {func(r *Result, c *Config) { r.Generator.Threads = []Thread{{}, {LagP99: 5_000_001}} }, "", "lag p99"},
		"lag, lax objective":  {func(r *Result, c *Config) { r.Generator.Lag.P99NS, c.Objective = 5_000_001, time.Second }, "", ""},
		"rate off by 0.9 %":   {func(r *Result, c *Config) { r.Messages.Sent = 4955 }, "", ""},
		"rate off by -1.2 %":  {func(r *Result, c *Config) { r.Messages.Sent = 4940 }, "target rate missed", "rate is off by -1.2 %"},
		"rate off by +1.2 %":  {func(r *Result, c *Config) { r.Messages.Sent = 5060 }, "target rate missed", "rate is off by 1.2 %"},
		"server did not read": {func(r *Result, c *Config) { r.Messages.Sent, r.Generator.Stalled = 4900, 80 }, "80 had to wait", ""},
		"1.9 % late":          {func(r *Result, c *Config) { r.Deliveries.InTime = 490_500 }, "", ""},
		"2.1 % late":          {func(r *Result, c *Config) { r.Deliveries.InTime = 489_500 }, "fell behind: 2.1 %", ""},
		"closed loop":         {func(r *Result, c *Config) { r.Loop, r.Messages.Due, r.Generator.Lag.P99NS = "closed", 0, 1e9 }, "", ""},
		"closed, no CPU":      {func(r *Result, c *Config) { r.Loop, r.Generator.CPUUser = "closed", 0 }, "", "had a CPU for 50 %"},
	} {
		cfg := Config{Clients: 100, Rate: 1000}.withDefaults()
		r := &Result{
			Loop:       "open",
			Messages:   Messages{Due: 5000, Sent: 5000, PerSecond: 1000},
			Deliveries: Deliveries{Due: 500_000, InTime: 500_000, PerSecond: 100_000},
			Generator:  Generator{CPUUser: 5e8, CPUSystem: 5e8, Wall: 1e9, Lag: Latency{Summary: hist.Summary{P99NS: 1000}}},
		}
		c.change(r, &cfg)
		r.judge(&cfg)
		for _, said := range []struct {
			got  []string
			want string
		}{{r.Violations, c.violated}, {r.GeneratorLimited, c.limited}} {
			if len(said.got) > 1 || strings.Join(said.got, "") == "" != (said.want == "") || !strings.Contains(strings.Join(said.got, ""), said.want) {
				t.Errorf("%s: %q, want %q", name, said.got, said.want)
			}
		}
		if r.Void() != (c.violated != "") {
			t.Errorf("%s: void %v", name, r.Void())
		}
	}
}

// TestWorstLag: of several threads the one with the largest lag counts, however few of all messages
// it has.
func TestWorstLag(t *testing.T) {
	var parts []*Part
	for i := range 4 {
		p := &Part{Result: Result{Loop: Open}}
		for _, l := range p.latencies() {
			l.Histogram = hist.New()
		}
		p.Messages.Due, p.Messages.Sent = 1000, 1000
		p.Generator.Lag.Histogram.Record(1000, 1000)
		if i == 2 {
			p.Generator.Lag.Histogram.Record(int64(20*time.Millisecond), 20) // 2 % of its own, 0.5 % of all
		}
		parts = append(parts, p)
	}
	cfg := Config{Clients: 4, Rate: 1000}.withDefaults()
	r := merge(parts, &cfg)
	if worst := time.Duration(r.Generator.WorstLag()); worst < 19*time.Millisecond || time.Duration(r.Generator.Lag.P99NS) > time.Millisecond {
		t.Errorf("worst lag %v, lag of all %v", worst, time.Duration(r.Generator.Lag.P99NS))
	}
	if len(r.GeneratorLimited) != 1 || !strings.Contains(r.GeneratorLimited[0], "lag p99") {
		t.Errorf("%q", r.GeneratorLimited)
	}
	one := merge(parts[2:3], &cfg)
	if worst := one.Generator.WorstLag(); worst != one.Generator.Lag.P99NS || worst < int64(19*time.Millisecond) {
		t.Errorf("one thread: %d, %d", worst, one.Generator.Lag.P99NS)
	}
}
