package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"chatbench/bench/plot"
	"chatbench/bench/record"
)

// drawnArm is an arm as plots and tables of the page show it.
type drawnArm struct {
	*ArmSummary
	Place int    // among the arms of the run: the same under every load
	Style string // classes of its line
}

// Class is what everything drawn of the arm carries: its place, by which it is
// switched on and off, and its style.
func (a drawnArm) Class() string { return fmt.Sprintf("arm s%d %s", a.Place, a.Style) }

// drawn is the arms of a load in the order of their cost, the cheapest first:
// by the ratio in the first primary figure. The reference is 1, its A/A arm
// follows it, and arms without a ratio come last.
func (l *LoadSummary) drawn(reference string) []drawnArm {
	key := primary(l.Load)[0]
	cost := func(a drawnArm) float64 {
		v := a.Figures[key].Versus
		switch {
		case a.Name == reference, a.Again:
			return 1
		case v == nil:
			return math.Inf(1)
		}
		return v.Ratio
	}
	var arms []drawnArm
	others := 0
	for i := range l.Arms {
		a := drawnArm{ArmSummary: &l.Arms[i], Place: i}
		switch {
		case a.Again:
			a.Style = plot.Again
		case a.Name == reference:
			a.Style = plot.Reference
		default:
			a.Style = plot.Style(others)
			others++
		}
		arms = append(arms, a)
	}
	slices.SortStableFunc(arms, func(a, b drawnArm) int {
		if order := cmp.Compare(cost(a), cost(b)); order != 0 {
			return order
		}
		return cmp.Compare(rank(a, reference), rank(b, reference))
	})
	return arms
}

// rank puts the reference before its A/A arm and both behind their equals.
func rank(a drawnArm, reference string) int {
	switch {
	case a.Again:
		return 2
	case a.Name == reference:
		return 1
	}
	return 0
}

// nameWidth is the room that the names of arms take, up to most pixels.
func nameWidth(arms []drawnArm, most float64) float64 {
	width := 0.0
	for _, a := range arms {
		width = math.Max(width, plot.Width(a.Name))
	}
	return math.Min(width, most)
}

// each is what the latency of a load is counted in.
func (l *LoadSummary) each() (one, many string) {
	switch l.Scenario {
	case record.Relay:
		return "an answer", "answers"
	case record.Idle:
		return "a login", "logins"
	}
	return "a delivery", "deliveries"
}

// since is where the latency of a load begins.
func (l *LoadSummary) since() string {
	switch {
	case l.Scenario == record.Idle:
		return "from when the connection was due to the answer to the login"
	case l.Closed():
		return "from the send (closed loop: what is waited for is mostly the queue)"
	case l.Scenario == record.Relay:
		return "from when the request was due to the end of the answer"
	}
	return "from when the message was due, whatever the server did meanwhile"
}

// units is what a delivery is called under this load.
func (l *LoadSummary) units() string {
	if l.Scenario == record.Relay {
		return "frames"
	}
	return "deliveries"
}
