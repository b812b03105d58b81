package live

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatbench/bench"
	"chatbench/bench/record"
	"chatbench/bench/report"
)

// after is a look at two loads of some arms that all have so many rounds.
func after(rounds, arms int) bench.Look {
	look := bench.Look{Round: rounds, Looks: []int{8, 12}, Left: time.Minute}
	for _, name := range []string{"fixed500", "window128"} {
		load := report.Standing{Load: name, Reference: "ref", Titles: []string{"CPU per delivery"}}
		for i := range arms {
			load.Arms = append(load.Arms, report.ArmStanding{Name: fmt.Sprintf("arm%d", i+1), Rounds: rounds, Figures: []report.FigureStanding{{Ratio: "1.00"}}})
		}
		look.Loads = append(look.Loads, load)
	}
	return look
}

func round(arm string, void ...record.Reason) record.Round {
	return record.Round{Round: 3, Load: "fixed500", Arm: arm, Void: void}
}

// TestLines: without a terminal there is a line for each look and at most one
// before it for all rounds that are void because of others; what a server has done is a
// line at once. Few names are listed, many are counted.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	v := New(&out, Terminal{})
	said := func(what string, want ...string) {
		t.Helper()
		if got := out.String(); got != strings.Join(append(want, ""), "\n") {
			t.Errorf("%s: it said\n%swant\n%s", what, got, strings.Join(want, "\n"))
		}
		out.Reset()
	}
	v.Void(round("arm2", record.Disturbed, record.FewSlices))
	v.Void(round("arm1", record.Disturbed))
	v.Void(round("arm2", record.Disturbed))
	v.Void(round("arm1", record.GeneratorLimited))
	v.Look(after(7, 11))
	said("disturbed before a look")
	v.Look(after(8, 11))
	said("the first look", "bench: 4 more rounds are void: 1 generator-limited (arm1 1), 3 disturbed (arm1 1, arm2 2)", "bench: look after 8 rounds: decided none; 22 open; 1m0s left at most")
	dead := round("arm1", record.ServerDied, record.Disturbed)
	dead.Error = "exit status 7"
	v.Void(dead)
	said("a violation", "bench: round 3 of arm1 under fixed500 is void: server-died, disturbed (exit status 7)")
	v.Void(round("arm1", record.Starved))
	said("nobody knows whose doing", "bench: round 3 of arm1 under fixed500 is void: starved")
	v.Look(after(12, 2))
	said("nothing void since", "bench: look after 12 rounds: decided none; open arm1 under fixed500, arm2 under fixed500, arm1 under window128, arm2 under window128; 1m0s left at most")
	for i := range 5 {
		v.Void(round(fmt.Sprintf("arm%d", i+1), record.Steal))
	}
	v.Clear()
	said("the end", "bench: 5 more rounds are void: 5 steal (5 arms)")
	v.Clear()
	said("again")
}

// TestHead: on a terminal the count is above the table, from the first void round on.
func TestHead(t *testing.T) {
	var out bytes.Buffer
	v := New(&out, Terminal{Moves: true, Size: func() (int, int) { return 100, 24 }})
	v.Look(after(2, 1))
	for n, want := range []string{"1 round void: 1 steal (arm1 1)\n", "2 rounds void: 2 steal (arm1 2)\n"} {
		out.Reset()
		if v.Void(round("arm1", record.Steal)); !strings.Contains(out.String(), want+"fixed500") {
			t.Errorf("after %d it drew %q", n+1, out.String())
		}
	}
	out.Reset()
	if v.Clear(); strings.Contains(out.String(), "void") {
		t.Errorf("at the end it said %q", out.String())
	}
}
