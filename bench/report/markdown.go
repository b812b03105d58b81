package report

import (
	"fmt"
	"io"
	"strings"

	"chatbench/bench/machine"
	"chatbench/bench/record"
)

// Markdown writes the run for a README or the page of a pull request: the
// verdict, a ranking for each load, failed checks, and the machine. run is the run of which
// the summary was made.
func (s *Summary) Markdown(w io.Writer, run *record.Run) {
	fmt.Fprintf(w, "## bench: %s\n\n", escaped(s.Name))
	for i, line := range s.verdicts() {
		if line = escaped(line); i == 0 {
			line = "**" + line + "**\n"
		} else {
			line = "- " + line
		}
		fmt.Fprintln(w, line)
	}
	for i := range s.Loads {
		s.Loads[i].markdown(w)
	}
	for i := range s.Scaling {
		s.Scaling[i].markdown(w)
	}
	if lines := s.caveats(); lines != nil {
		fmt.Fprint(w, "\n### What to keep in mind\n\n")
		for _, line := range lines {
			fmt.Fprintf(w, "- %s\n", escaped(line))
		}
	}
	failed := 0
	for _, c := range s.Checks.Checks {
		if !c.OK {
			failed++
		}
	}
	fmt.Fprintf(w, "\n%d of %d checks hold. %s\n", len(s.Checks.Checks)-failed, len(s.Checks.Checks), escaped(s.machine(run)))
}

// markdown writes the ranking of a load.
func (l *LoadSummary) markdown(w io.Writer) {
	r := l.Ranking
	if r == nil {
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n%s.", escaped(l.Name), escaped(capital(l.describe())))
	if l.Pilot != nil {
		fmt.Fprint(w, " "+escaped(capital(pilotText(l.Pilot))))
	}
	fmt.Fprint(w, "\n\n")
	markdownRow(w, "", "arm", r.Title+", "+r.Unit, "× the least (95 %)", "letters", "why", "note")
	fmt.Fprintln(w, "|--:|:--|--:|--:|:--|:--|:--|")
	for _, row := range r.Rows {
		rank := "–"
		if row.Rank > 0 {
			rank = fmt.Sprint(row.Rank)
		}
		markdownRow(w, rank, row.Arm, row.Text, strings.Replace(row.ToBest.text(row.AtMost, true), "×", "", 1), row.Letters, row.Why, row.Note)
	}
	fmt.Fprintln(w, "\n"+sharing)
	if r.Note != "" {
		fmt.Fprintln(w, escaped(r.Note+"."))
	}
	if text := l.found(); text != "" {
		fmt.Fprintln(w, escaped(text))
	}
}

// machine describes the machine and the settings in a line.
func (s *Summary) machine(run *record.Run) string {
	e, m := run.Env, run.Manifest
	cpus := fmt.Sprintf("%d CPUs", e.CPUs)
	if e.Hypervisor {
		cpus += ", virtual"
	}
	kernel, _, _ := strings.Cut(e.Kernel, " ") // the rest is when it was built
	text := fmt.Sprintf("Measured %s on %s (%s), Linux %s, %s, %s; server on CPU %s, generator on %s",
		s.Started.UTC().Format("2006-01-02 15:04 UTC"), e.CPU, cpus, kernel, e.Go, e.Congestion,
		machine.FormatCPUs(m.ServersCPUs()), generatorText(&m))
	if s.Commit != "" {
		text += "; commit " + s.Commit
		if s.Dirty {
			text += " with changes"
		}
	}
	return fmt.Sprintf("%s; reference %s, seed %d.", text, s.Reference, m.Seed)
}

// markdownRow writes one row of a table, its cells escaped.
func markdownRow(w io.Writer, cells ...string) {
	for _, cell := range cells {
		fmt.Fprintf(w, "| %s ", escaped(cell))
	}
	fmt.Fprintln(w, "|")
}

// escaped makes a text in which GitHub's Markdown finds no markup: every character
// that begins markup gets a backslash before it, and a line's end becomes a space.
var escaped = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`,
	"|", `\|`, "#", `\#`, "~", `\~`, "@", `\@`, "&", `\&`, "\n", " ", "\r", " ",
).Replace
