package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"chatbench/bench/stats"
)

// GateVerdict is a gate's verdict on one figure, or on all.
type GateVerdict string

// The verdicts of a gate, the most serious first.
const (
	GateViolated  GateVerdict = "violated"     // a message was lost, or a server failed
	GateWorse     GateVerdict = "worse"        // certainly, and perhaps by the limit or more
	GateUndecided GateVerdict = "undecided"    // the machine was too disturbed for a verdict
	GateNotWorse  GateVerdict = "not worse"    // certainly not by the limit or more
	GateFull      GateVerdict = "server full"  // the baseline's CPU was used up, so that the figure says nothing; other figures may
	GateFalse     GateVerdict = "not repeated" // worse in one run and not in a second
)

var gateVerdicts = []GateVerdict{GateViolated, GateWorse, GateUndecided, GateFalse, GateNotWorse, GateFull}

// gravest returns the more serious of two verdicts.
func gravest(a, b GateVerdict) GateVerdict {
	return slices.MinFunc([]GateVerdict{a, b}, func(a, b GateVerdict) int {
		return cmp.Compare(slices.Index(gateVerdicts, a), slices.Index(gateVerdicts, b))
	})
}

// GateRow is one primary figure of a backend: head against its baseline.
type GateRow struct {
	Backend, Load, Figure string
	Baseline, Head        string // the figure of each, as it is printed
	Ratio, Again          string // head to baseline, baseline to itself, each with its interval
	Rounds                int
	Verdict               GateVerdict
	key                   string
}

// Gate is the result of a gate.
type Gate struct {
	Worse          float64 // the limit, as a share: 0.05
	Baseline, Head string  // commits
	Rows           []GateRow
	Notes          []string // further notes
	Runs           []string // directories
	failed         GateVerdict
}

// Add adds a run of two arms, the reference being the baseline. Figures that
// raised an alarm in a first run are judged by the second: add that with again set.
func (g *Gate) Add(s *Summary, backend, dir string, again bool) {
	g.Runs = append(g.Runs, dir)
	g.failed = gravest(cmp.Or(g.failed, GateNotWorse), s.gateFailed())
	if c := s.Checks; s.Violated() || s.Disturbed() {
		g.Notes = append(g.Notes, fmt.Sprintf("%s: %d of %d rounds void%s.", backend, c.VoidRounds, c.Rounds, voids(c.Void)))
	}
	if advice := s.LimitAdvice(); advice != "" {
		g.Notes = append(g.Notes, fmt.Sprintf("%s: %s.", backend, advice))
	}
	for _, row := range s.gateRows(backend, g.Worse) {
		i := slices.IndexFunc(g.Rows, func(r GateRow) bool {
			return r.Backend == row.Backend && r.Load == row.Load && r.key == row.key
		})
		switch {
		case i < 0:
			g.Rows = append(g.Rows, row)
		case again && g.Rows[i].Verdict == GateWorse:
			switch row.Verdict {
			case GateNotWorse:
				row.Verdict = GateFalse
			case GateFull: // this does not cancel an alarm
				row.Verdict = GateUndecided
			}
			row.Ratio = g.Rows[i].Ratio + ", again " + row.Ratio
			g.Rows[i] = row
		}
	}
}

// gateFailed is the verdict from the rounds, whatever the figures are.
func (s *Summary) gateFailed() GateVerdict {
	switch {
	case s.Violated():
		return GateViolated
	case s.Disturbed():
		return GateUndecided
	}
	return GateNotWorse
}

// gateRows judges the primary figures of the only arm that is compared.
func (s *Summary) gateRows(backend string, worse float64) (rows []GateRow) {
	for i := range s.Loads {
		l := &s.Loads[i]
		for _, a := range l.Arms {
			if a.Name == s.Reference || a.Again {
				continue
			}
			for _, key := range primary(l.Load) {
				m, f := find(key), a.Figures[key]
				row := GateRow{
					Backend: backend, Load: l.Name, Figure: m.title, key: key, Verdict: GateUndecided,
					Baseline: m.shown(l.arm(s.Reference).Figures[key]), Head: m.shown(f), Ratio: "—", Again: "—",
				}
				again := l.again().Figures[key].Versus
				if v := f.Versus; v != nil {
					row.Ratio, row.Rounds, row.Verdict = ratioText(v), v.N, v.gate(m, worse, again)
					if v.Verdict == string(stats.ServerFull) && l.arm(s.Reference).Full {
						row.Verdict = GateFull
					}
				}
				if again != nil {
					row.Again = ratioText(again)
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// gate returns worse for a figure that is certainly worse, and perhaps by the limit or more: a loss of
// exactly the limit is found, and a certain but small loss does not matter. It returns not worse
// if the loss is certainly below the limit: that requires as much as a tie does, because it
// can be claimed at each look too. Both the printed interval and that of the looks must lie below the limit,
// and the baseline must equal itself, unless the figure is certainly better.
func (v *Versus) gate(m metric, worse float64, again *Versus) GateVerdict {
	most := func(low, high float64) float64 {
		switch {
		case low == 0: // too few rounds for an interval
			return math.Inf(1)
		case m.better == higher:
			return 1 / low
		}
		return high
	}
	high, equal := most(v.Low, v.High), again != nil && again.Verdict == holds
	switch {
	case v.Low == 0:
		return GateUndecided
	case v.Verdict == m.words[1] && high >= 1+worse:
		return GateWorse
	case v.Verdict == m.words[0], equal && max(high, most(v.SureLow, v.SureHigh)) < 1+worse:
		return GateNotWorse
	}
	return GateUndecided
}

// shown is a figure with its unit, or "—" if there is none.
func (m metric) shown(f Figure) string {
	if f.N == 0 {
		return "—"
	}
	return strings.TrimSpace(m.print(f.Median) + " " + m.unit)
}

// Alarm says whether some figure of a backend is worse so far.
func (g *Gate) Alarm(backend string) bool {
	return slices.ContainsFunc(g.Rows, func(r GateRow) bool { return r.Backend == backend && r.Verdict == GateWorse })
}

// Verdict is the most serious of all verdicts.
func (g *Gate) Verdict() GateVerdict {
	all := cmp.Or(g.failed, GateUndecided)
	for _, row := range g.Rows {
		all = gravest(all, row.Verdict)
	}
	if all == GateFalse {
		return GateNotWorse
	}
	return all
}

// Markdown writes the result for people, and for the page of a pull request.
func (g *Gate) Markdown(w io.Writer) {
	say := map[GateVerdict]string{
		GateViolated:  "A message was lost, or a server failed.",
		GateWorse:     fmt.Sprintf("Worse in two runs, and perhaps by %s or more.", g.percent()),
		GateUndecided: fmt.Sprintf("This machine was too disturbed, or the budget too short, to rule out that it is worse by %s.", g.percent()),
		GateNotWorse:  fmt.Sprintf("No primary figure is worse by %s or more.", g.percent()),
	}
	verdict := g.Verdict()
	fmt.Fprintf(w, "## bench gate: %s\n\n%s Head `%.12s` against baseline `%.12s`.\n\n", verdict, say[verdict], g.Head, g.Baseline)
	fmt.Fprintln(w, "| backend | load | figure | baseline | head | head / baseline (95 %) | baseline / itself | rounds | verdict |")
	fmt.Fprintln(w, "|---|---|---|---:|---:|---:|---:|---:|---|")
	for _, r := range g.Rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %d | %s |\n", r.Backend, r.Load, r.Figure, r.Baseline, r.Head, r.Ratio, r.Again, r.Rounds, r.Verdict)
	}
	for _, note := range g.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	fmt.Fprintf(w, "\nRaw files: %s.\n", strings.Join(g.Runs, ", "))
}

func (g *Gate) percent() string { return fmt.Sprintf("%.3g %%", 100*g.Worse) }
