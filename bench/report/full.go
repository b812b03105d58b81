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
// polling, and a server that falls behind makes larger batches. What is printed then
// is an upper bound of the cost of a delivery, and no ratio of it means anything.
//
// With several CPUs, the use of all of them together does not say whether one
// thread is full: a busy loop on one of two CPUs is 50 %. Below FullShare of one
// CPU in all no thread can be full; above that share of every CPU the server is full;
// in between it is not known, so there is neither a bound nor a verdict.

// capped are the figures to which this applies.
var capped = []string{keyCPU, keyUser, keyKernel, keySyscalls}

// fullShare is the use of its CPUs above which a server is full.
func fullShare(r record.Rules) float64 { return cmp.Or(r.FullShare, record.DefaultRules().FullShare) }

// markFull marks an arm whose server was full, or may have been. If the server certainly was, its
// figures become bounds.
func (a *ArmSummary) markFull(load record.Load, m *record.Manifest) {
	if !load.Open() {
		return
	}
	use, share := a.Figures[keyBusy].Median, fullShare(m.Rules)
	if a.Full = use > share; !a.Full {
		a.MaybeFull = use*float64(len(m.CPUsOf(a.Name))) > share
		return
	}
	for _, key := range capped {
		if f, ok := a.Figures[key]; ok {
			f.AtMost = true
			a.Figures[key] = f
		}
	}
}

// fullReason is FullServer for an arm whose server was full, PerhapsFull if that is not
// known, and "" otherwise.
func (a *ArmSummary) fullReason() stats.Reason {
	switch {
	case a.Full:
		return stats.FullServer
	case a.MaybeFull:
		return stats.PerhapsFull
	}
	return ""
}

// notComparable says why an arm is not compared with the reference in a figure, as a
// sentence and for programs; "" if it is compared.
func (l *LoadSummary) notComparable(key string, a *ArmSummary, reference string) (why string, reason stats.Reason) {
	who, of := "the reference", l.arm(reference)
	if of == nil || of.fullReason() == "" {
		who, of = "its server", a
	}
	use := percent(of.Figures[keyBusy].Median)
	switch reason = of.fullReason(); {
	case !slices.Contains(capped, key) || of == a && a.Again:
		return "", ""
	case reason == stats.FullServer:
		why = fmt.Sprintf("%s used %s %% of its CPU, so that a delivery costs it what the rate leaves it", who, use)
	case reason == stats.PerhapsFull:
		why = fmt.Sprintf("%s used %s %% of several CPUs, so that one of its threads may have had no CPU to spare", who, use)
	}
	return why, reason
}

// fullReference says, with its name, that the reference was full, so that nothing
// can be compared in a figure; "" if it was not.
func (l *LoadSummary) fullReference(key, reference string) string {
	ref := l.arm(reference)
	if ref == nil {
		return ""
	}
	why, _ := l.notComparable(key, ref, reference)
	return strings.Replace(why, "the reference", "the reference, "+reference+",", 1)
}

// refuse gives a comparison that means nothing its verdict: the ratio
// without an interval or a p-value.
func (l *LoadSummary) refuse(key string, a *ArmSummary, reference, why string, reason stats.Reason) {
	c := l.against(key, a, reference, a.lastRound)
	if c.N > 0 {
		c.Interval, c.P, c.Adjusted, c.Reason, c.Why = stats.Interval{}, 1, 1, reason, why
		l.put(a.Name, key, c, refused(reason))
	}
}

// refused is the verdict of a comparison that means nothing.
func refused(reason stats.Reason) string {
	if reason == stats.PerhapsFull {
		return string(stats.Unresolved)
	}
	return string(stats.ServerFull)
}

// full says for which arms there is no verdict on CPU, and why.
func (l *LoadSummary) full(w io.Writer, reference string) {
	if why := l.fullReference(keyCPU, reference); why != "" {
		fmt.Fprintf(w, "  No verdict on CPU and system calls here: %s; measure at a lower rate.\n", why)
		return
	}
	for _, kind := range []struct {
		reason stats.Reason
		why    string
	}{
		{stats.FullServer, "at this rate a delivery cannot have more of it, so it costs at most what is printed (≤)"},
		{stats.PerhapsFull, "it has several CPUs, and one of its threads may have had none to spare"},
	} {
		var names []string
		for i := range l.Arms {
			if a := &l.Arms[i]; a.fullReason() == kind.reason && !a.Again {
				names = append(names, fmt.Sprintf("%s (uses %s %% of its CPU)", a.Name, percent(a.Figures[keyBusy].Median)))
			}
		}
		if names != nil {
			fmt.Fprintf(w, "  No verdict on CPU and system calls of %s: %s; measure at a lower rate.\n", strings.Join(names, ", "), kind.why)
		}
	}
}
