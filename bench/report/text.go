package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"chatbench/bench/record"
)

// Style is what the reader's terminal can display.
type Style struct {
	Color bool
	Width int // columns; 0: 80
}

func (s Style) width() int {
	if s.Width <= 0 {
		return 80
	}
	return min(max(s.Width, 60), 120)
}

// bold, and one colour for each arm, by its place.
const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

var colours = []string{"\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[31m"}

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return code + text + reset
}

// Text writes the summary for people. dir is the directory of the files.
func (s *Summary) Text(w io.Writer, style Style, dir string) {
	for _, line := range s.verdicts() {
		for part := range strings.SplitSeq(wrapped(line, style.width(), 0), "\n") {
			fmt.Fprintln(w, style.paint(bold, part))
		}
	}
	s.rankings(w, style)
	for i := range s.Loads {
		fmt.Fprintln(w)
		s.Loads[i].text(w, style, s.Reference)
	}
	for i := range s.Scaling {
		fmt.Fprintln(w)
		s.Scaling[i].text(w, style)
	}
	for i := range s.Loads {
		if l := &s.Loads[i]; l.Open() && len(l.curves(false)) > 0 {
			fmt.Fprintln(w)
			l.plot(w, style)
		}
	}
	s.remarks(w)
	s.binaries(w)
	if dir != "" {
		fmt.Fprintf(w, "\nFiles: %s (report.html, rounds.jsonl, bench.txt for benchstat -col /backend, …)\n", dir)
		fmt.Fprintf(w, "Check them with: bench verify %s\n", dir)
	}
}

// verdicts is the first lines: the result of the run in short.
func (s *Summary) verdicts() []string {
	lines := []string{s.correctness()}
	for i := range s.Loads {
		l := &s.Loads[i]
		if l.Ranking != nil {
			lines = append(lines, l.sentence())
		} else {
			lines = append(lines, l.alone(s.Reference))
		}
	}
	return lines
}

// correctness is the first line.
func (s *Summary) correctness() string {
	c := s.Checks
	first := c.Checks[0] // checkArrived, or that of silent loads
	checked, _, _ := strings.Cut(first.Detail, ",")
	text := "Every message arrived, once, whole and in order: " + checked
	if first.Name != checkArrived {
		text = "Everybody got in and stayed: " + checked
	}
	if !first.OK {
		text = "NOT CORRECT: " + first.Detail
	}
	if c.VoidRounds > 0 {
		text += fmt.Sprintf("; %d of %d rounds void%s", c.VoidRounds, c.Rounds, voids(c.Void))
	}
	return text + "."
}

// silent says whether no load sends anything.
func silent(loads []record.Load) bool {
	return !slices.ContainsFunc(loads, func(l record.Load) bool { return l.Scenario != record.Idle })
}

// alone is what there is to say about a backend that is not compared with another one: what
// was measured, and what difference the run would find.
func (l *LoadSummary) alone(name string) string {
	a := l.arm(name)
	keys := append(primary(l.Load), keySyscalls, keyP99)
	switch {
	case l.Scenario == record.Idle:
		keys = append(primary(l.Load), keyRSSEach, keyLogin)
	case l.Closed():
		keys = append(primary(l.Load), keyRate)
	}
	var parts []string
	for _, key := range keys {
		if f, ok := a.Figures[key]; ok {
			m := find(key)
			parts = append(parts, l.word(m.title)+" "+f.value(m, true))
		}
	}
	if parts == nil {
		parts = []string{"no round counts"}
	}
	text := fmt.Sprintf("%s, %s: %s.", name, l.short(), strings.Join(parts, ", "))
	if finds := l.found(); finds != "" {
		text += " " + finds
	}
	return text
}

// remarks writes the caveats.
func (s *Summary) remarks(w io.Writer) {
	lines := s.caveats()
	if lines == nil {
		return
	}
	fmt.Fprintln(w, "\nWhat to keep in mind:")
	for _, line := range lines {
		fmt.Fprintln(w, "  -", line)
	}
}

// caveats are the failed checks, what figures of one CPU or of agents mean, and how to measure undisturbed.
func (s *Summary) caveats() (lines []string) {
	if s.SharedCPU {
		lines = append(lines, "server and generator shared their CPUs: every figure is of the pair")
	} else if shared := s.pairs(); shared != nil {
		lines = append(lines, "the generator had a CPU of the server's under "+enumerate(shared)+": their figures are of the pair")
	}
	lines = append(lines, agentCaveats(s.Agents)...)
	for _, a := range s.Loads[0].Arms {
		for _, name := range slices.Sorted(maps.Keys(a.Gaps)) {
			if !a.Again {
				lines = append(lines, fmt.Sprintf("%s does not pass %s of the conformance suite: %s", a.Name, name, a.Gaps[name]))
			}
		}
	}
	lines = append(lines, s.failed()...)
	if advice := s.LimitAdvice(); advice != "" {
		lines = append(lines, "hint: "+advice)
	}
	if v := s.Checks.Void; s.limited.void < s.Checks.VoidRounds && v[record.GeneratorLimited]+v[record.Disturbed]+v[record.Steal]+v[record.FewSlices] > 0 {
		lines = append(lines, "hint: server and generator need a CPU each to themselves; stop what else runs here and measure again")
	}
	return lines
}

// failed is the failed checks, one sentence each; checks of one kind for all
// arms share a sentence.
func (s *Summary) failed() (lines []string) {
	at := make(map[string]int)
	for _, c := range s.Checks.Checks[1:] {
		if c.OK || c.Name == "CPUs of their own" {
			continue
		}
		said := fmt.Sprintf("the check %q failed", c.Name)
		if c.Arm == "" {
			lines = append(lines, said+": "+c.Detail)
			continue
		}
		detail, _, _ := strings.Cut(c.Detail, ";")
		arm := fmt.Sprintf("%s (%s)", c.Arm, detail)
		if i, begun := at[c.Name]; begun {
			lines[i] += ", " + arm
		} else {
			at[c.Name], lines = len(lines), append(lines, said+" for "+arm)
		}
	}
	return lines
}

// Line is the run in one line, for lists.
func (s *Summary) Line() string {
	var arms []string
	rounds := 0
	for _, l := range s.Loads {
		for _, a := range l.Arms {
			if l.Name == s.Loads[0].Name && !a.Again {
				arms = append(arms, a.Name)
			}
			rounds = max(rounds, a.Rounds+a.Void)
		}
	}
	text := fmt.Sprintf("%s, %d rounds", strings.Join(arms, ", "), rounds)
	if c := s.Checks; !c.Checks[0].OK {
		text += ", NOT CORRECT"
	} else if c.VoidRounds > 0 {
		text += fmt.Sprintf(", %d of %d void", c.VoidRounds, c.Rounds)
	}
	return text
}

// binaries says which program each arm ran, if there are several.
func (s *Summary) binaries(w io.Writer) {
	for i, b := range s.Binaries {
		var arms []string
		for _, a := range s.Loads[0].Arms {
			if a.Chatd == b.Path || a.Chatd == "" && i == 0 {
				arms = append(arms, a.Name)
			}
		}
		if arms == nil {
			continue
		}
		commit := "commit unknown"
		if b.Commit != "" {
			commit = "commit " + b.Commit[:min(len(b.Commit), 12)]
		}
		if b.Dirty {
			commit += " with changes"
		}
		fmt.Fprintf(w, "\n%s: %s, %s, SHA-256 %.12s…", strings.Join(arms, ", "), b.Path, commit, b.SHA256)
		for _, m := range b.Modules {
			fmt.Fprintf(w, "\n  %s %s", m.Path, moduleChange(m))
		}
	}
	if s.Binaries != nil {
		fmt.Fprintln(w)
	}
}

// moduleChange says which version of a module another program has, and which the first has.
func moduleChange(m record.Module) string {
	here := cmp.Or(m.Version, "none")
	if m.Dir != "" {
		here = "from " + m.Dir
		switch {
		case m.Commit == "":
			here += ", in no git tree"
		case m.Dirty:
			here += fmt.Sprintf(", commit %.12s with changes", m.Commit)
		default:
			here += fmt.Sprintf(", commit %.12s", m.Commit)
		}
	}
	return here + ", in place of " + cmp.Or(m.First, "none")
}
