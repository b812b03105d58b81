package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// Text writes the comparison for people: what makes the runs hard to compare,
// then of each load the primary figures of all arms, and of the others those that have
// changed.
func (p *Pair) Text(w io.Writer, style Style) {
	for _, s := range []struct {
		name string
		Side
	}{{"A", p.A}, {"B", p.B}} {
		fmt.Fprintln(w, wrapped(style.paint(bold, s.name)+" "+s.text(), style.width(), 2))
	}
	for _, line := range p.sentences() {
		fmt.Fprintln(w, wrapped(style.paint(bold, "!")+" "+line, style.width(), 2))
	}
	if len(p.Differences) == 0 {
		fmt.Fprintln(w, "Machine, method, loads and commit are the same.")
	}
	for _, line := range p.notes() {
		fmt.Fprintln(w, wrapped(line, style.width(), 2))
	}
	for i := range p.Loads {
		p.Loads[i].text(w, style, p.Reference)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, wrapped(p.legend()+" The last column is the verdict of the comparison to trust, which is marked *: = a tie, ? not resolved, full: the server used all of its CPU, so its cost means nothing. •: primary figure. -o PATH writes a page with plots.", style.width(), 0))
}

// text is one run in one line.
func (s Side) text() string {
	text := fmt.Sprintf("%s, %s, commit %s, %d rounds", s.Dir, s.Started.UTC().Format("2006-01-02 15:04 UTC"), s.Commit, s.Rounds)
	if s.Void > 0 {
		text += fmt.Sprintf(", %d void", s.Void)
	}
	if !s.Correct {
		text += ", NOT CORRECT: not every message arrived, or a server broke its contract"
	}
	return text
}

// sentences returns the differences and what they mean; differences with the same meaning share
// a sentence.
func (p *Pair) sentences() (lines []string) {
	for i, d := range p.Differences {
		same := func(o Difference) bool { return o.Means == d.Means }
		if slices.ContainsFunc(p.Differences[:i], same) {
			continue
		}
		var parts []string
		for _, o := range p.Differences[i:] {
			if same(o) {
				parts = append(parts, o.sides())
			}
		}
		lines = append(lines, strings.Join(parts, "; ")+": "+d.Means+".")
	}
	return lines
}

// sides is a difference without what it means, and without its values if they
// are too long to read: those are in JSON and on the page.
func (d Difference) sides() string {
	said := func(s string) string {
		if s == "" {
			return "not known"
		}
		return s
	}
	const long = 60
	if d.load == "" && max(len(d.A), len(d.B)) > long {
		return d.What + " (not the same)"
	}
	return fmt.Sprintf("%s %s in A, %s in B", d.What, said(d.A), said(d.B))
}

// notes says how the rates of the two were chosen, what only one of them has, and
// what to do about it.
func (p *Pair) notes() (lines []string) {
	for _, s := range []struct {
		name string
		*record.Pilot
	}{{"A", p.A.Pilot}, {"B", p.B.Pilot}} {
		if s.Pilot != nil {
			lines = append(lines, fmt.Sprintf("%s: %s", s.name, pilotText(s.Pilot)))
		}
	}
	return append(append(lines, p.singles()...), p.Advice...)
}

// singles lists what only one run has, one line for each load.
func (p *Pair) singles() (lines []string) {
	for i, s := range p.Single {
		if s.Arm == "" {
			lines = append(lines, fmt.Sprintf("load %s is in %s only.", s.Load, s.In))
			continue
		}
		if i > 0 && p.Single[i-1].Load == s.Load && p.Single[i-1].In == s.In {
			lines[len(lines)-1] += ", " + s.Arm
			continue
		}
		lines = append(lines, fmt.Sprintf("%s, in %s only: %s", s.Load, s.In, s.Arm))
	}
	return lines
}

// legend explains the comparisons, and which of them to trust.
func (p *Pair) legend() string {
	const gate = " To compare two commits, bench gate measures both in one run."
	if p.Reference == "" {
		return "Medians of rounds, and B/A with the 95 % interval of two independent samples (Mann-Whitney). Neither run measured what the other took as its reference, so nothing tells a change of the servers from one of the machine." + gate
	}
	r := p.Reference
	return "Medians of rounds. B/A is of two independent samples of rounds, and holds what the machine did otherwise. \"To " + r + "\" is how the ratio to " + r +
		" in the same rounds changed, and does not hold what changed in " + r + " too. Both with 95 % intervals (Mann-Whitney). Trust B/A where machine and method are the same and " + r +
		" came out the same, else the ratio." + gate
}

func (l *PairLoad) text(w io.Writer, style Style, reference string) {
	one := LoadSummary{Load: l.Load}
	fmt.Fprintf(w, "\n%s\n", wrapped(style.paint(bold, l.Name)+": "+one.describe(), style.width(), 2))
	for _, key := range primary(l.Load) {
		l.block(w, style, key, reference, l.Arms)
	}
	quiet := 0
	for _, m := range metrics {
		if !m.judged || one.primary(m.key) {
			continue
		}
		changed := l.changed(m.key)
		quiet += l.having(m.key) - len(changed)
		if len(changed) > 0 {
			l.block(w, style, m.key, reference, changed)
		}
	}
	fmt.Fprintf(w, "  exploratory figures in which no change is sure: %d (-format csv has all)\n", quiet)
	for _, line := range l.shiftLines(reference) {
		fmt.Fprintln(w, wrapped("  "+line, style.width(), 4))
	}
}

// changed returns the arms in which a figure certainly changed.
func (l *PairLoad) changed(key string) (arms []PairArm) {
	for _, a := range l.Arms {
		if a.Figures[key].verdict().differs() {
			arms = append(arms, a)
		}
	}
	return arms
}

func (l *PairLoad) having(key string) (n int) {
	for _, a := range l.Arms {
		if _, ok := a.Figures[key]; ok {
			n++
		}
	}
	return n
}

// block is one figure of some arms.
func (l *PairLoad) block(w io.Writer, style Style, key, reference string, arms []PairArm) {
	m, one := find(key), LoadSummary{Load: l.Load}
	title := one.mark(m)
	if m.unit != "" {
		title += ", " + m.unit
	}
	if n, ok := l.Noise[key]; ok {
		title += l.noise(n)
	}
	fmt.Fprintf(w, "  %s\n", title)
	head := "to " + reference
	if reference == "" {
		head = ""
	}
	t := table{{"arm", "A", "B", "B/A", head, ""}, {"", "", "", "", "", ""}}
	var names []string
	for _, a := range arms {
		names = append(names, a.Name)
	}
	short := cutDistinct(names, pairName)
	for _, a := range arms {
		f, ok := a.Figures[key]
		if !ok {
			continue
		}
		t = append(t, []string{short[a.Name], f.A.median(m), f.B.median(m),
			f.Change.cell(f.Trust == TrustBoth), f.Relative.cell(f.Trust == TrustRelative), f.verdict().symbol()})
	}
	t.write(w, 1, style)
}

// noise says how much the reference differs from itself in a round.
func (l *PairLoad) noise(n Noise) string {
	return fmt.Sprintf(" (A/A varies by %s %% in A, %s %% in B)", noiseText(n.A), noiseText(n.B))
}

func noiseText(deviation float64) string {
	if deviation == 0 {
		return "?"
	}
	return plain(100 * deviation)
}

func (f Figure) median(m metric) string {
	if f.N == 0 {
		return "–"
	}
	return f.value(m, false)
}

// cell is a comparison in a table, with a star if it can be trusted.
func (v *Versus) cell(trusted bool) string {
	mark := " "
	if trusted {
		mark = "*"
	}
	if v == nil {
		return "–" + mark
	}
	return ratioText(v) + mark
}

// symbol is the shortest form of a verdict.
func (v *Versus) symbol() string {
	switch {
	case v == nil:
		return ""
	case v.Verdict == string(stats.Tie):
		return "="
	case v.Verdict == string(stats.Unresolved):
		return "?"
	case v.Verdict == string(stats.ServerFull):
		return "full"
	}
	return v.word()
}

// shiftLines says what the trusted shift functions say about latency, arm by arm.
func (l *PairLoad) shiftLines(reference string) (lines []string) {
	all, floor := l.Shifts, shiftOfArm(l.Shifts, reference)
	if l.relatively() {
		all, floor = l.Relative, shiftOfArm(l.Relative, reference+record.AgainSuffix)
	}
	for _, s := range all {
		if says := s.words(floor); floor != nil && s.Arm != floor.Arm && s.banded() && says != noShift {
			lines = append(lines, fmt.Sprintf("latency of %s, at all percentiles together: %s", s.Arm, says))
		}
	}
	return lines
}

// relatively says whether for latency only the relative change can be trusted.
func (l *PairLoad) relatively() bool {
	key := keyP50
	if l.Scenario == record.Idle {
		key = keyLogin
	}
	return slices.ContainsFunc(l.Arms, func(a PairArm) bool { return a.Figures[key].Trust == TrustRelative })
}

// pairName is how many columns a name may take, so that a table fits into 80 columns.
const pairName = 14

// wrapped breaks a line at spaces so that no part is wider than width, and indents all but the
// first. Escape sequences have no width.
func wrapped(line string, width, indent int) string {
	var out strings.Builder
	column := 0
	lead := len(line) - len(strings.TrimLeft(line, " "))
	out.WriteString(line[:lead])
	column = lead
	for i, word := range strings.Fields(line) {
		n := columns(escapes.Replace(word))
		switch {
		case i == 0:
		case column+1+n > width:
			out.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += n
	}
	return out.String()
}

var escapes = strings.NewReplacer(bold, "", faint, "", reset, "")
