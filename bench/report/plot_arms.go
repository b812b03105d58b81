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

// Class is the class of everything drawn of the arm: its place, by which it is
// switched on and off, and its style.
func (a drawnArm) Class() string { return fmt.Sprintf("arm s%d %s", a.Place, a.Style) }

// drawn returns the arms of a load in the order of its ranking, the A/A arm after
// the reference, and arms without a rank last.
func (l *LoadSummary) drawn(reference string) []drawnArm {
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
	place := func(a drawnArm) int {
		if a.Again {
			return l.Ranking.place(reference)
		}
		return l.Ranking.place(a.Name)
	}
	slices.SortStableFunc(arms, func(a, b drawnArm) int {
		if order := cmp.Compare(place(a), place(b)); order != 0 || a.Again == b.Again {
			return order
		}
		if a.Again {
			return 1
		}
		return -1
	})
	return arms
}

// place returns the row of an arm; an arm that is in no row, or without a
// ranking, is last.
func (r *Ranking) place(arm string) int {
	if r == nil {
		return 0
	}
	for i, row := range r.Rows {
		if row.Arm == arm {
			return i
		}
	}
	return len(r.Rows)
}

// nameWidth is the space for the names of arms, up to most pixels.
func nameWidth(arms []drawnArm, most float64) float64 {
	width := 0.0
	for _, a := range arms {
		width = math.Max(width, plot.Width(a.Name))
	}
	return math.Min(width, most)
}

// each names what the latency of a load is measured of.
func (l *LoadSummary) each() (one, many string) {
	switch l.Scenario {
	case record.Relay:
		return "an answer", "answers"
	case record.Idle:
		return "a login", "logins"
	}
	return "a delivery", "deliveries"
}

// since says from when the latency of a load counts.
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
