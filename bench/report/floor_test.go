package report

import (
	"fmt"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// runWithEarlyArm is a sample in which epoll leaves after six rounds, and A/A is 40 % off in
// those that follow.
func runWithEarlyArm(t *testing.T) *record.Run {
	t.Helper()
	run := sample(t)
	rounds := run.Rounds[:0]
	for _, r := range run.Rounds {
		if r.Round > 6 && r.Arm == "epoll" {
			continue
		}
		if r.Round > 6 && r.Arm == "goroutine.aa" {
			*r.Usage.CPU = *r.Usage.CPU * 14 / 10
		}
		rounds = append(rounds, r)
	}
	run.Rounds = rounds
	return run
}

// TestFloorsOfPlots: behind an arm is what the reference shows against itself up to
// the arm's last round, as in its verdict.
func TestFloorsOfPlots(t *testing.T) {
	run := runWithEarlyArm(t)
	l := &Summarize(run, nil).Loads[0]
	svg := string(ratioPlot(l, find(keyCPU), l.drawn("goroutine"), "goroutine"))
	for rounds, count := range map[int]int{6: 1, 8: 2} { // of epoll; of the reference and itself
		floor := l.aa(keyCPU, "goroutine", rounds).Floor()
		want := fmt.Sprintf("A/A: the reference against itself in %d rounds, %s to %s", rounds, digits(floor.Low), digits(floor.High))
		if got := strings.Count(svg, want); got != count {
			t.Errorf("%d bands say %q, want %d, in\n%s", got, want, count, svg)
		}
	}
	if short, long := l.aa(keyCPU, "goroutine", 6).Floor(), l.aa(keyCPU, "goroutine", 8).Floor(); short.High > 1.1 || long.High < 1.15 {
		t.Errorf("the sample is not what it is meant to be: %v, %v", short, long)
	}
}

// TestFloorsOfShifts: so it is with the bands of shift functions, and with what
// is said of them.
func TestFloorsOfShifts(t *testing.T) {
	run := runWithEarlyArm(t)
	load := run.Manifest.Loads[0]
	l := summarizeLoad(run, load)
	again := l.again().Arm
	epoll := []Shift{shiftOf(t, shifts(run, load), "epoll")}
	until := func(round int) string {
		return string(shiftPlots(epoll, func(string) *Shift { return shift(upTo(run, round), load, again) })[0])
	}
	panels := fmt.Sprint(l.shiftPanels(run, l.drawn("goroutine")))
	if early, all := until(6), until(8); early == all || !strings.Contains(panels, early) || strings.Contains(panels, all) {
		t.Errorf("the panel of epoll is not that with A/A of six rounds:\n%s", panels)
	}
}

// TestNotesOfPage: the page explains what is printed with ≤, and what latencies
// contain, as the terminal does.
func TestNotesOfPage(t *testing.T) {
	run := sample(t)
	setUse(run, "epoll", 0.95)
	l := &Summarize(run, nil).Loads[0]
	notes := strings.Join(l.notes("goroutine"), "\n")
	for _, want := range []string{"costs at most what is printed (≤)", "The latencies contain the generator's own lateness: at its p99 ", "Four times in five"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
}

// TestFollowed: round by round the page shows a primary figure, or the rate.
func TestFollowed(t *testing.T) {
	for _, load := range []record.Load{{Scenario: record.Idle}, {Scenario: record.Broadcast, Rate: 1}} {
		l := &LoadSummary{Load: load}
		if !l.primary(l.followed()) {
			t.Errorf("%+v: %s", load, l.followed())
		}
	}
}

// TestOneFloor: letters have the floor of verdicts.
func TestOneFloor(t *testing.T) {
	if got := (stats.Comparison{}).Floor(); got != (stats.Interval{}) {
		t.Errorf("no rounds have a floor: %v", got)
	}
	c := stats.Comparison{Interval: stats.Interval{Low: 1.1, High: 1.2}}
	if got := c.Floor(); got != (stats.Interval{Low: 1, High: 1.2}) {
		t.Errorf("%v", got)
	}
}
