package report

import (
	"fmt"
	"io"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Style is what the reader's terminal can show.
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

// Text writes the summary for a person. dir is where the files are.
func (s *Summary) Text(w io.Writer, style Style, dir string) {
	for _, line := range s.verdicts() {
		fmt.Fprintln(w, style.paint(bold, line))
	}
	for i := range s.Loads {
		fmt.Fprintln(w)
		s.Loads[i].text(w, style, s.Reference)
	}
	for i := range s.Loads {
		if l := &s.Loads[i]; l.Open() && len(l.curves(false)) > 0 {
			fmt.Fprintln(w)
			l.plot(w, style)
		}
	}
	s.remarks(w)
	if dir != "" {
		fmt.Fprintf(w, "\nFiles: %s (report.html, rounds.jsonl, bench.txt for benchstat -col /backend, …)\n", dir)
		fmt.Fprintf(w, "Check them with: bench verify %s\n", dir)
	}
}

// verdicts is the first lines: what one would say to somebody who asks.
func (s *Summary) verdicts() []string {
	lines := []string{s.correctness()}
	var backends []string
	for _, l := range s.Loads {
		for _, a := range l.Arms {
			if a.Name == s.Reference || a.Again {
				continue
			}
			if l.Name == s.Loads[0].Name {
				backends = append(backends, a.Name)
			}
		}
	}
	if backends == nil {
		backends = []string{s.Reference}
	}
	for _, name := range backends {
		lines = append(lines, s.verdict(name)...)
	}
	return lines
}

// correctness is the first thing to know.
func (s *Summary) correctness() string {
	c := s.Checks
	first := c.Checks[0] // checkArrived
	checked, _, _ := strings.Cut(first.Detail, ",")
	text := "Every message arrived, once, whole and in order: " + checked
	if !first.OK {
		text = "NOT CORRECT: " + first.Detail
	}
	if c.VoidRounds > 0 {
		text += fmt.Sprintf("; %d of %d rounds void%s", c.VoidRounds, c.Rounds, voids(c.Void))
	}
	return text + "."
}

// verdict is what is to be said of one backend, one line a load.
func (s *Summary) verdict(name string) (lines []string) {
	for i := range s.Loads {
		l := &s.Loads[i]
		a := l.arm(name)
		keys := []string{keyCPU, keySyscalls, keyP50, keyP99}
		if !l.Open() {
			keys = []string{keyRate, keyCPU}
		}
		var parts []string
		for _, key := range keys {
			f, ok := a.Figures[key]
			m := find(key)
			switch {
			case !ok:
			case f.Versus == nil:
				parts = append(parts, fmt.Sprintf("%s %s", m.title, f.value(m, true)))
			case f.Versus.Verdict == string(stats.Tie):
				parts = append(parts, fmt.Sprintf("%s a tie", m.title))
			case f.Versus.Verdict == string(stats.Unresolved):
				parts = append(parts, fmt.Sprintf("%s not resolved", m.title))
			default:
				parts = append(parts, m.title+" "+f.Versus.change())
			}
		}
		if parts == nil {
			parts = []string{"no round counts"}
		}
		against := ""
		if name != s.Reference {
			against = " against " + s.Reference
		}
		lines = append(lines, fmt.Sprintf("%s%s, %s: %s.", name, against, l.short(), strings.Join(parts, ", ")))
	}
	return lines
}

// value is the median as it is printed, with its unit if asked for.
func (f Figure) value(m metric, withUnit bool) string {
	text := m.print(f.Median)
	if f.AtLeast {
		text = "≥ " + text
	}
	if withUnit && m.unit != "" {
		text += " " + m.unit
	}
	return text
}

// short names a load in a sentence.
func (l *LoadSummary) short() string {
	if l.Open() {
		return fmt.Sprintf("at %s messages/s", count(l.Rate))
	}
	return "saturated"
}

// describe is the heading of a load.
func (l *LoadSummary) describe() string {
	text := fmt.Sprintf("%d clients, texts of %d octets, ", l.Clients, l.Size)
	if l.Open() {
		return text + fmt.Sprintf("%s messages/s in all (open loop, %s)", count(l.Rate), l.Arrivals)
	}
	return text + fmt.Sprintf("saturated by %d senders with %d messages under way each (closed loop)", l.Senders, l.Window)
}

// text is one load: heading, table, what the machine resolves, who was the limit.
func (l *LoadSummary) text(w io.Writer, style Style, reference string) {
	fmt.Fprintln(w, style.paint(bold, l.Name)+": "+l.describe())
	columns := []string{keyCPU, keyUser, keyKernel, keySyscalls, keySwitches, keyP50, keyP99, keyP999, keyRSS}
	if !l.Open() {
		columns = append([]string{keyRate}, columns...)
	}
	t := table{{"backend"}, {""}}
	for _, key := range columns {
		if l.has(key) {
			head := heads[key]
			t[0], t[1] = append(t[0], head[0]), append(t[1], head[1])
		}
	}
	for _, a := range l.Arms {
		row := []string{a.Name}
		for _, key := range columns {
			if !l.has(key) {
				continue
			}
			cell := "–"
			if f, ok := a.Figures[key]; ok {
				cell = f.value(find(key), false)
			}
			row = append(row, cell)
		}
		t = append(t, row)
	}
	t.write(w, 1, style)
	l.ratios(w, style, reference)
	l.limits(w)
	if text := l.resolution(); text != "" {
		fmt.Fprintf(w, "  This machine resolves %s (%s against itself).\n", text, reference)
	}
	if l.Open() {
		l.lags(w)
	}
}

// ratios sets every arm against the reference, figure by figure. The A/A arm
// alone needs no table: what it says is the machine's resolution.
func (l *LoadSummary) ratios(w io.Writer, style Style, reference string) {
	head := []string{"ratio to " + reference}
	var arms []ArmSummary
	for _, a := range l.Arms {
		if a.Name != reference {
			arms, head = append(arms, a), append(head, a.Name)
		}
	}
	if len(arms) < 2 {
		return
	}
	t := table{head, {""}}
	for _, m := range metrics {
		row, some := []string{m.title}, false
		for _, a := range arms {
			cell := "–"
			if v := a.Figures[m.key].Versus; v != nil {
				cell, some = ratioText(v)+" "+v.Verdict, true
			}
			row = append(row, cell)
		}
		if some {
			t = append(t, row)
		}
	}
	if len(t) > 2 {
		t.write(w, 1, style)
	}
}

// heads is what stands over a column, in two lines.
var heads = map[string][2]string{
	keyRate:     {"deliv.", "/s"},
	keyCPU:      {"CPU µs", "/1000 d."},
	keyUser:     {"user", "µs"},
	keyKernel:   {"kernel", "µs"},
	keySyscalls: {"syscalls", "/deliv."},
	keySwitches: {"switches", "/1000 d."},
	keyP50:      {"p50", "ms"},
	keyP99:      {"p99", "ms"},
	keyP999:     {"p99.9", "ms"},
	keyRSS:      {"RSS", "MiB"},
}

// has says whether any arm has the figure.
func (l *LoadSummary) has(key string) bool {
	for _, a := range l.Arms {
		if _, ok := a.Figures[key]; ok {
			return true
		}
	}
	return false
}

// limits says which side stood in the way, with what each used.
func (l *LoadSummary) limits(w io.Writer) {
	for _, a := range l.Arms {
		if a.Limit == "" || a.Again {
			continue
		}
		text := map[string]string{
			"server":    "the server was the limit",
			"generator": "the generator was the limit: the server can do more",
			"both":      "server and generator were both at their limit: the rate is that of the pair",
			"pair":      "server and generator shared a CPU: the rate is that of the pair",
			"others":    "the server did not have its CPU to itself",
			"neither":   "neither side was at its limit: they waited for each other",
		}[a.Limit]
		fmt.Fprintf(w, "  %s: %s (server %s %% of its CPU", a.Name, text, percent(a.Figures[keyBusy].Median))
		if f := a.Figures[keyForeign]; a.Limit == "others" {
			fmt.Fprintf(w, ", others %s %% of it", percent(f.Median))
		}
		if f, ok := a.Figures[keyGenBusy]; ok {
			fmt.Fprintf(w, ", generator %s %%", percent(f.Median))
		}
		if f, ok := a.Figures[keyRate]; ok && l.Ceiling > 0 {
			fmt.Fprintf(w, ", %s %% of the generator's ceiling", percent(f.Median/l.Ceiling))
		}
		fmt.Fprintln(w, ").")
	}
	if l.Ceiling > 0 {
		fmt.Fprintf(w, "  Generator's ceiling against the null server: %s deliveries/s.\n", count(l.Ceiling))
	}
}

// resolution is "CPU per delivery ±3 %, p50 ±8 %".
func (l *LoadSummary) resolution() string {
	var parts []string
	for _, key := range []string{keyRate, keySyscalls, keyCPU, keyP50, keyP99} {
		if x, ok := l.Resolution[key]; ok {
			parts = append(parts, find(key).title+" "+resolves(x))
		}
	}
	return strings.Join(parts, ", ")
}

// lags sets the generator's own lateness beside the latencies it is part of.
func (l *LoadSummary) lags(w io.Writer) {
	var parts []string
	for _, a := range l.Arms {
		if f, ok := a.Figures[keyLag]; ok {
			parts = append(parts, fmt.Sprintf("%s %s ms", a.Name, millis(f.Median)))
		}
	}
	if parts != nil {
		fmt.Fprintf(w, "  Of that the generator's own lateness, p99: %s.\n", strings.Join(parts, ", "))
	}
}

// remarks is the checks that failed, and what figures of one CPU are.
func (s *Summary) remarks(w io.Writer) {
	var lines []string
	if s.SharedCPU {
		lines = append(lines, "server and generator shared their CPUs: every figure is of the pair")
	}
	for _, c := range s.Checks.Checks[1:] {
		if !c.OK && c.Name != "CPUs of their own" {
			lines = append(lines, c.Name+": no, "+c.Detail)
		}
	}
	if v := s.Checks.Void; v[record.GeneratorLimited]+v[record.Disturbed]+v[record.Steal] > 0 {
		lines = append(lines, "hint: server and generator need a CPU each to themselves; stop what else runs here and measure again")
	}
	if lines == nil {
		return
	}
	fmt.Fprintln(w, "\nWhat to keep in mind:")
	for _, line := range lines {
		fmt.Fprintln(w, "  -", line)
	}
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
