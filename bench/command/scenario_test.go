package command

import (
	"context"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// TestScenarios: the other scenarios run from the first round to
// the table too, with figures of their own.
func TestScenarios(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	for scenario, c := range map[string]struct {
		args []string
		says []string
		ok   func(record.Round) bool
	}{
		record.Relay: {
			[]string{"-rate", "300/s", "-window", "3", "-pairs", "3", "-downloads", "0", "-chat-rate", "none", "-whole", "-warmup", "50ms"},
			[]string{"relay-fixed300: 3 pairs, lists of 5 files with names of 32 octets; 300 requests/s", "relay-window3", "frames"},
			func(r record.Round) bool { return r.Traffic.Checked > 8 && r.Sent.Count > 0 },
		},
		record.Scale: {
			[]string{"-clients", "3", "-senders", "2", "-window", "3", "-cpus", "1", "-whole", "-warmup", "50ms"},
			[]string{"good by the CPUs of its server (window3)", "good@cpus=1", "No law is put through fewer than two numbers of CPUs", "window3"},
			func(r record.Round) bool { return r.Traffic.Checked > 8 && r.Sent.Count > 0 },
		},
		record.Idle: {
			[]string{"-clients", "28", "-ramp", "70ms"},
			[]string{"Everybody got in and stayed: 56 logins", "idle28: 28 clients, or as many", "RSS KiB", "p50 ms"},
			func(r record.Round) bool {
				return r.Traffic.Clients == 28 && r.Login.Count == 28 && r.Usage.RSSBase != nil && r.Traffic.Deliveries == 0 &&
					r.Usage.FirstClients == 7 && r.Usage.RSSFirst != nil && r.Usage.PSSFirst != nil && *r.Usage.RSSFirst > *r.Usage.RSSBase
			},
		},
	} {
		args := append([]string{"run", "-scenario", scenario, "-backends", "good", "-o", scenario, "-rounds", "1", "-duration", "150ms", "-foreign-max", "1"}, c.args...)
		got := try(ctx, programs, args...)
		if got.status != exitOK && got.status != exitViolated && got.status != exitDisturbed {
			t.Errorf("%s: %+v", scenario, got)
			continue
		}
		run, _, err := record.Read(scenario)
		if err != nil {
			t.Fatal(err)
		}
		void := false
		for _, r := range run.Rounds {
			void = void || !r.Counts()
			if r.Error != "" || r.Counts() && !c.ok(r) { // a machine at work can void rounds
				t.Errorf("%s: %+v", scenario, r)
			}
			if r.Counts() && r.Load == "relay-fixed300" && !strings.Contains(got.stdout, "times of answers contain the generator") {
				t.Errorf("%s: no lateness in\n%s", scenario, got.stdout)
			}
		}
		for _, want := range c.says {
			if !void && !strings.Contains(got.stdout, want) {
				t.Errorf("%s: no %q in\n%s", scenario, want, got.stdout)
			}
		}
		if got := try(ctx, programs, "verify", scenario); got.status != exitOK {
			t.Errorf("%s: %+v", scenario, got)
		}
		if got := try(ctx, programs, "compare", scenario); got.status != exitOK || !void && !strings.Contains(got.stdout, c.says[len(c.says)-1]) {
			t.Errorf("%s: %+v", scenario, got)
		}
	}
	got := try(ctx, programs, "run", "-scenario", "relay", "-backends", "good,lossy", "-o", "lost", "-rounds", "1", "-duration", "100ms", "-slice", "50ms", "-lead-in", "0s",
		"-rate", "none", "-window", "2", "-pairs", "2", "-downloads", "0", "-chat-rate", "none", "-foreign-max", "1")
	if got.status != exitViolated || !strings.Contains(got.stdout, "NOT CORRECT") || !strings.Contains(got.stderr, "lost") {
		t.Errorf("a server that loses frames: %+v", got)
	}
}
