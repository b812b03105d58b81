package command

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// TestPilot: without -rate the rate is one of the series, or the plan's if the
// machine is too disturbed, and the manifest says how it was chosen.
func TestPilot(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	args := []string{"run", "-backends", "good", "-o", "x", "-rounds", "1", "-duration", "100ms", "-clients", "4", "-senders", "2", "-window", "none", "-foreign-max", "1"}
	if got := try(ctx, programs, args...); got.status == exitFailed || got.status == exitUsage {
		t.Fatalf("%+v", got)
	}
	run, _, err := record.Read("x")
	if err != nil {
		t.Fatal(err)
	}
	p := run.Manifest.Pilot
	if p == nil || p.Arm != "good" || len(p.Tried) == 0 || p.Why == "" || p.Took <= 0 || p.Rate < 100 || p.Rate > 50_000 {
		t.Fatalf("%+v", p)
	}
	if l := run.Manifest.Loads; len(l) != 1 || l[0].Rate != p.Rate || l[0].Name != fmt.Sprintf("fixed%g", p.Rate) {
		t.Errorf("chosen is %v, the load %+v", p.Rate, l)
	}
	for _, one := range p.Tried {
		if !one.Disturbed && one.Error == "" && (one.CPU <= 0 || one.ServerBusy <= 0 || one.GeneratorBusy <= 0) {
			t.Errorf("%+v", one)
		}
	}
	if got := try(ctx, programs, "verify", "x"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestPilotServerDies: the pilot chooses nothing because the server died, and
// the rounds are measured nevertheless, and void.
func TestPilotServerDies(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	got := try(context.Background(), programs, "run", "-backends", "dying", "-o", "x", "-rounds", "1", "-duration", "100ms", "-clients", "4", "-senders", "2", "-window", "none", "-foreign-max", "1")
	run, _, err := record.Read("x")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if p := run.Manifest.Pilot; got.status != exitViolated || p == nil || !strings.Contains(p.Why, "exit status 7: chatd: out of luck") {
		t.Errorf("%+v: %+v", p, got)
	}
}
