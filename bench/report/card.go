package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"chatbench/bench/conformance"
	"chatbench/bench/record"
)

// ErrCard is returned for a run that does not fit a card.
var ErrCard = errors.New("report: not the run for this card")

// Card is one backend on one page: what it is, what it passes and what it costs.
type Card struct {
	Backend   string             `json:"backend"`
	Is        []Fact             `json:"is"`
	Gaps      map[string]string  `json:"gaps,omitempty"`  // cases of the suite that it says it does not pass
	Suite     *conformance.Suite `json:"suite,omitempty"` // nil: left out
	Reference string             `json:"reference"`
	Loads     []CardLoad         `json:"loads"`
	Measured  []Measured         `json:"measured"` // the runs that the figures are of
}

// Fact is something that a backend, or a run, reports about itself.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// CardLoad is what a backend costs under a load.
type CardLoad struct {
	Load    string       `json:"load"`
	Heading string       `json:"heading"`
	Rounds  int          `json:"rounds"` // of the backend that count
	Void    int          `json:"void"`   // and that do not
	Reasons string       `json:"reasons,omitempty"`
	Broke   bool         `json:"broke,omitempty"` // it broke its contract in some round
	Figures []CardFigure `json:"figures"`
}

// CardFigure is one figure, of the backend and of the reference: medians in base
// units, and in the form in which they are printed.
type CardFigure struct {
	Key     string  `json:"key"`
	Title   string  `json:"title"`
	Primary bool    `json:"primary"`
	Own     *Figure `json:"own"`
	Other   *Figure `json:"reference,omitempty"` // nil of the reference itself
	Value   string  `json:"-"`
	Against string  `json:"-"`
	Ratio   string  `json:"-"`
	Verdict string  `json:"-"`
}

// Measured describes the run of some figures.
type Measured struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Commit  string    `json:"commit,omitempty"`
	Dirty   bool      `json:"dirty,omitempty"`
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	Virtual bool      `json:"virtual"`
	Kernel  string    `json:"kernel"`
	Go      string    `json:"go"`
	Shared  bool      `json:"shared_cpu,omitempty"`
	// Disturbed: the run was too disturbed for a verdict, so none of its figures has
	// one.
	Disturbed bool `json:"disturbed,omitempty"`
}

// AddRun adds the loads of a run in which the backend is an arm.
func (c *Card) AddRun(run *record.Run) error {
	m, env := &run.Manifest, &run.Env
	if !slices.ContainsFunc(m.Arms, func(a record.Arm) bool { return a.Name == c.Backend }) {
		return fmt.Errorf("%w: run %s has no arm %s", ErrCard, m.Name, c.Backend)
	}
	if c.Reference != "" && c.Reference != m.Reference {
		return fmt.Errorf("%w: run %s is against %s, not against %s", ErrCard, m.Name, m.Reference, c.Reference)
	}
	c.Reference = m.Reference
	var loads []LoadSummary
	for _, load := range m.Loads {
		loads = append(loads, judgeLoad(run, load))
	}
	t := tallyOf(run)
	off := disturbed(t.reasons, t.void, t.rounds, loads)
	c.Measured = append(c.Measured, Measured{
		Name: m.Name, Started: m.Started, Commit: m.Commit, Dirty: m.Dirty, CPU: env.CPU, CPUs: env.CPUs,
		Virtual: env.Hypervisor, Kernel: env.Kernel, Go: env.Go, Shared: m.SharedCPU, Disturbed: off,
	})
	for i := range loads {
		c.Loads = append(c.Loads, loads[i].card(run, c.Backend, m.Reference, off))
	}
	return nil
}

// card returns the figures of an arm for a card, without verdicts if the run was
// too disturbed for any.
func (l *LoadSummary) card(run *record.Run, arm, reference string, disturbed bool) CardLoad {
	a, ref := l.arm(arm), l.arm(reference)
	one := CardLoad{Load: l.Name, Heading: l.describe(), Rounds: a.Rounds, Void: a.Void}
	reasons := make(map[record.Reason]int)
	for _, r := range run.Rounds {
		if r.Load == l.Name && r.Arm == arm {
			for _, reason := range r.Void {
				reasons[reason]++
				one.Broke = one.Broke || reason.Violation()
			}
		}
	}
	one.Reasons = strings.TrimPrefix(voids(reasons), ": ")
	keys := []string{keyCPU, keySyscalls, keyP50, keyP99}
	switch {
	case l.Scenario == record.Idle:
		keys = []string{keyClients, keyPSSEach, keyRSSEach, keyLogin}
	case l.Closed():
		keys = append([]string{keyRate}, keys...)
	}
	for _, key := range keys {
		f, ok := a.Figures[key]
		if !ok {
			continue
		}
		if disturbed {
			f.Versus = nil
		}
		m := find(key)
		row := CardFigure{Key: key, Title: l.word(m.title), Primary: l.primary(key), Own: &f, Value: f.value(m, true), Against: "—", Ratio: "—", Verdict: "—"}
		if other, ok := ref.Figures[key]; ok && arm != reference {
			row.Other, row.Against = &other, other.value(m, true)
		}
		if v := f.Versus; v != nil {
			row.Ratio, row.Verdict = ratioText(v), v.word()
		}
		one.Figures = append(one.Figures, row)
	}
	return one
}

// Broke says whether the backend broke its contract, in the suite or under load.
func (c *Card) Broke() bool {
	return c.Suite != nil && !c.Suite.OK() || slices.ContainsFunc(c.Loads, func(l CardLoad) bool { return l.Broke })
}

// caseLines is how many cases of each kind a card lists.
const caseLines = 8

// Conformance is the result of the suite, one sentence each.
func (c *Card) Conformance() (lines []string) {
	s := c.Suite
	if s == nil {
		lines = append(lines, "The conformance suite was left out.")
		for _, name := range slices.Sorted(maps.Keys(c.Gaps)) {
			lines = append(lines, "It says that it does not pass "+name+": "+c.Gaps[name]+".")
		}
		return lines
	}
	when := ""
	if !s.Time.IsZero() {
		when = ", " + s.Time.UTC().Format("2006-01-02")
	}
	text := fmt.Sprintf("%d of %d cases passed, %d failed, %d could not be run, %d are known gaps (%s%s, took %s).",
		s.Passed, s.Cases(), len(s.Failed), len(s.Skipped), len(s.Gaps), s.Package, when, s.Took.Round(time.Second))
	if s.Broken {
		text += " The suite failed as a whole."
	}
	lines = append(lines, text)
	for _, kind := range []struct {
		word  string
		cases []conformance.Case
	}{{"Failed", s.Failed}, {"Gap", s.Gaps}, {"Could not be run", s.Skipped}} {
		for i, one := range kind.cases {
			if i == caseLines {
				lines = append(lines, fmt.Sprintf("%s: %d more.", kind.word, len(kind.cases)-i))
				break
			}
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", kind.word, one.Name, cut(cmp.Or(one.Why, "it does not say why"), 160)), ".")+".")
		}
	}
	return lines
}

// Counted says how many rounds of a load are void.
func (l CardLoad) Counted() string {
	text := fmt.Sprintf("%d rounds count, %d are void", l.Rounds, l.Void)
	if l.Reasons != "" {
		text += " (" + l.Reasons + ")"
	}
	if l.Broke {
		text += ": NOT CORRECT"
	}
	return text + "."
}

// Says describes the run in a sentence.
func (m Measured) Says() string {
	virtual, commit := "", "commit unknown"
	if m.Virtual {
		virtual = ", virtual"
	}
	if m.Commit != "" {
		commit = fmt.Sprintf("commit %.12s", m.Commit)
	}
	if m.Dirty {
		commit += " with changes"
	}
	text := fmt.Sprintf("Run %s of %s, %s: %s (%d CPUs%s), Linux %s, %s.", m.Name, m.Started.UTC().Format("2006-01-02"), commit, m.CPU, m.CPUs, virtual, m.Kernel, m.Go)
	if m.Shared {
		text += " Server and generator shared their CPUs: every figure is of the pair."
	}
	if m.Disturbed {
		text += " It was too disturbed to say anything, so it has no verdicts: measure again where less else runs, and without a CPU limit."
	}
	return text
}

// Versus is the heading of the column of ratios.
func (c *Card) Versus() string {
	if c.Reference == c.Backend {
		return "ratio"
	}
	return "to " + c.Reference + " (95 %)"
}

// Markdown is the card for a README.
func (c *Card) Markdown() []byte {
	var out bytes.Buffer
	safe := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`, "_", `\_`).Replace
	fmt.Fprintf(&out, "## %s\n\n", safe(c.Backend))
	for _, f := range c.Is {
		fmt.Fprintf(&out, "- %s: %s\n", f.Name, safe(f.Value))
	}
	fmt.Fprint(&out, "\n### Conformance\n\n")
	for _, line := range c.Conformance() {
		fmt.Fprintf(&out, "- %s\n", safe(line))
	}
	fmt.Fprint(&out, "\n### Cost\n")
	for _, l := range c.Loads {
		fmt.Fprintf(&out, "\n%s: %s. %s\n\n", l.Load, safe(l.Heading), l.Counted())
		fmt.Fprintf(&out, "| figure | %s | %s | %s | verdict |\n|---|---:|---:|---:|---|\n", safe(c.Backend), safe(c.Reference), safe(c.Versus()))
		for _, f := range l.Figures {
			fmt.Fprintf(&out, "| %s%s | %s | %s | %s | %s |\n", f.mark(), f.Title, f.Value, f.Against, f.Ratio, f.Verdict)
		}
	}
	fmt.Fprint(&out, "\n•: named before the run, corrected together; the others are exploratory.\n")
	for _, m := range c.Measured {
		fmt.Fprintf(&out, "%s\n", safe(m.Says()))
	}
	return out.Bytes()
}

// mark is the mark before the title of a primary figure.
func (f CardFigure) mark() string {
	if f.Primary {
		return "• "
	}
	return ""
}

// Heading is the title of a figure with its mark.
func (f CardFigure) Heading() string { return f.mark() + f.Title }

// HTML is the card as a page that needs nothing else.
func (c *Card) HTML() ([]byte, error) {
	var out bytes.Buffer
	if err := cardTemplate.Execute(&out, c); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

var cardTemplate = template.Must(template.New("card").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Backend}}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child, .is td { text-align: left; }
</style></head><body>
<h1>{{.Backend}}</h1>
<table class="is">{{range .Is}}<tr><td>{{.Name}}</td><td>{{.Value}}</td></tr>
{{end}}</table>
<h2>Conformance</h2>
<ul>{{range .Conformance}}<li>{{.}}</li>
{{end}}</ul>
<h2>Cost</h2>
{{range .Loads}}<p>{{.Load}}: {{.Heading}}. {{.Counted}}</p>
<table><tr><th>figure</th><th>{{$.Backend}}</th><th>{{$.Reference}}</th><th>{{$.Versus}}</th><th>verdict</th></tr>
{{range .Figures}}<tr><td>{{.Heading}}</td><td>{{.Value}}</td><td>{{.Against}}</td><td>{{.Ratio}}</td><td>{{.Verdict}}</td></tr>
{{end}}</table>
{{end}}<p>•: named before the run, corrected together; the others are exploratory.</p>
{{range .Measured}}<p>{{.Says}}</p>
{{end}}</body></html>
`))
