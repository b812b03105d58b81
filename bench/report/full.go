package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// A server that uses all of its CPU under an open loop has 1/rate of CPU for
// each delivery, whatever a delivery costs it: a busy loop fills the rest with
// polling, and one that falls behind makes larger batches. What is printed then
// is the most that a delivery costs, and no ratio of it means anything.

// capped is the figures that this is true of.
var capped = []string{keyCPU, keyUser, keyKernel, keySyscalls}

// fullShare is the use of its CPUs above which a server is full.
func fullShare(r record.Rules) float64 { return cmp.Or(r.FullShare, record.DefaultRules().FullShare) }

// fill marks an arm whose server was full, and its figures as bounds.
func (a *ArmSummary) fill(load record.Load, rules record.Rules) {
	if a.Full = load.Open() && a.Figures[keyBusy].Median > fullShare(rules); !a.Full {
		return
	}
	for _, key := range capped {
		if f, ok := a.Figures[key]; ok {
			f.AtMost = true
			a.Figures[key] = f
		}
	}
}

// pointless says why an arm is not compared with the reference in a figure; ""
// if it is.
func (l *LoadSummary) pointless(key string, a *ArmSummary, reference string) string {
	ref := l.arm(reference)
	switch {
	case !slices.Contains(capped, key):
	case ref != nil && ref.Full:
		return fmt.Sprintf("the reference used %s %% of its CPU, so that a delivery costs it what the rate leaves it", percent(ref.Figures[keyBusy].Median))
	case a.Full && !a.Again:
		return fmt.Sprintf("its server used %s %% of its CPU, so that a delivery costs it what the rate leaves it", percent(a.Figures[keyBusy].Median))
	}
	return ""
}

// refuse gives a comparison that means nothing its verdict: the ratio as it
// was, without an interval or a p.
func (l *LoadSummary) refuse(key string, a *ArmSummary, reference, why string) {
	c := l.against(key, a, reference, a.until)
	if c.N > 0 {
		c.Interval, c.P, c.Adjusted, c.Reason, c.Why = stats.Interval{}, 1, 1, stats.FullServer, why
		l.put(a.Name, key, c, string(stats.ServerFull))
	}
}

// full says of whom there is no verdict on CPU, and why.
func (l *LoadSummary) full(w io.Writer, reference string) {
	if ref := l.arm(reference); ref != nil && ref.Full {
		fmt.Fprintf(w, "  No verdict on CPU and system calls here: the reference, %s, used %s %% of its CPU, so what a delivery costs it is 1/rate; measure at a lower rate.\n",
			reference, percent(ref.Figures[keyBusy].Median))
		return
	}
	var names []string
	for _, a := range l.Arms {
		if a.Full {
			names = append(names, fmt.Sprintf("%s (uses %s %% of its CPU)", a.Name, percent(a.Figures[keyBusy].Median)))
		}
	}
	if names != nil {
		fmt.Fprintf(w, "  No verdict on CPU and system calls of %s: at this rate a delivery cannot have more of it, so it costs at most what is printed (≤); measure at a lower rate.\n", strings.Join(names, ", "))
	}
}
