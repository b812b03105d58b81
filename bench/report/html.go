package report

import (
	"bytes"
	"fmt"
	"html/template"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/machine"
	"chatbench/bench/record"
)

// page is what the template is given.
type page struct {
	*Summary
	Verdicts  []string
	Env       record.Env
	Manifest  record.Manifest
	Server    string // CPUs
	Generator string
	Sections  []section
}

// section is one load of the page.
type section struct {
	Name, Heading string
	Arms          []string
	Rows          []htmlRow
	Plots         []template.HTML
}

// htmlRow is one figure of all arms.
type htmlRow struct {
	Title, Unit string
	Cells       []htmlCell
}

type htmlCell struct {
	Value, Range, Ratio, Verdict, Why string
}

// html makes report.html: one file that needs nothing else.
func (s *Summary) html(run *record.Run) ([]byte, error) {
	p := page{
		Summary: s, Verdicts: s.verdicts(), Env: run.Env, Manifest: run.Manifest,
		Server:    machine.FormatCPUs(run.Manifest.ServerCPUs),
		Generator: machine.FormatCPUs(run.Manifest.GeneratorCPUs),
	}
	for i := range s.Loads {
		l := &s.Loads[i]
		sec := section{Name: l.Name, Heading: l.describe()}
		for _, a := range l.Arms {
			sec.Arms = append(sec.Arms, a.Name)
		}
		for _, m := range metrics {
			if l.has(m.key) {
				sec.Rows = append(sec.Rows, l.htmlRow(m))
			}
		}
		sec.Plots = l.plots(run)
		p.Sections = append(p.Sections, sec)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

// plots is the plots of a load that have something to show.
func (l *LoadSummary) plots(run *record.Run) (plots []template.HTML) {
	of, since, figure := "a delivery", "when it was due", keyCPU
	if l.Scenario == record.Relay {
		of = "an answer"
	}
	switch {
	case l.Scenario == record.Idle:
		of, since, figure = "a login", "when its connection was due", keyRSSEach
	case l.Closed():
		since, figure = "the send (closed loop)", keyRate
	}
	for _, p := range []template.HTML{
		forestPlot(l, run.Manifest.Reference),
		percentilePlot(fmt.Sprintf("%s: latency of %s, from %s", l.Name, of, since), l.Arms, func(a ArmSummary) *hdrhistogram.Histogram { return a.curve }),
		cpuPlot(l),
		roundPlot(run, l, figure),
		percentilePlot(l.Name+": the generator's own lateness", l.Arms, func(a ArmSummary) *hdrhistogram.Histogram { return a.lag }),
		percentilePlot(l.Name+": in the generator's own receive queue", l.Arms, func(a ArmSummary) *hdrhistogram.Histogram { return a.queue }),
	} {
		if p != "" {
			plots = append(plots, p)
		}
	}
	return plots
}

func (l *LoadSummary) htmlRow(m metric) htmlRow {
	row := htmlRow{Title: l.word(m.title), Unit: m.unit}
	for _, a := range l.Arms {
		var cell htmlCell
		if f, ok := a.Figures[m.key]; ok {
			cell.Value = f.value(m, false)
			cell.Range = m.print(f.Min) + "–" + m.print(f.Max)
			if v := f.Versus; v != nil {
				cell.Ratio, cell.Verdict, cell.Why = ratioText(v), v.Verdict, v.family()+": "+v.Why
			}
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

var pageTemplate = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Name}}</title>
<style>
:root { color-scheme: light dark; --c0: #0077aa; --c1: #cc7700; --c2: #aa3388; --c3: #228833; --c4: #4455cc; --c5: #cc3333; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
small { opacity: .7; display: block; }
svg { width: 100%; height: auto; margin: 1rem 0; }
.title { font-size: 13px; font-weight: 600; fill: currentColor; } .tick { font-size: 11px; fill: currentColor; }
.grid { stroke: #8883; } .axis { stroke: currentColor; } .one { stroke: currentColor; stroke-dasharray: 2 3; }
.band { fill: #8883; } .user { fill: var(--c1); } .kernel { fill: var(--c0); }
.line { fill: none; stroke-width: 2; } .again { stroke-dasharray: 5 4; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.dot.c0 { fill: var(--c0); } .dot.c1 { fill: var(--c1); } .dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); } .dot.c4 { fill: var(--c4); } .dot.c5 { fill: var(--c5); }
.no { color: #c33; font-weight: 600; }
</style></head><body>
<h1>{{.Name}}</h1>
{{range .Verdicts}}<p><strong>{{.}}</strong></p>
{{end}}<p>Measured {{.Started.UTC.Format "2006-01-02 15:04 UTC"}} on {{.Env.CPU}} ({{.Env.CPUs}} CPUs{{if .Env.Hypervisor}}, virtual{{end}}), Linux {{.Env.Kernel}}, {{.Env.Go}}, {{.Env.Congestion}}; server on CPU {{.Server}}, generator on CPU {{.Generator}}{{if .Commit}}; commit {{.Commit}}{{if .Dirty}} with changes{{end}}{{end}}; seed {{.Manifest.Seed}}.</p>
{{range .Sections}}<h2>{{.Name}}: {{.Heading}}</h2>
<table><tr><th>median of rounds <small>least–greatest</small></th>{{range .Arms}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr><td>{{.Title}}{{if .Unit}}, {{.Unit}}{{end}}</td>{{range .Cells}}<td>{{.Value}}<small>{{.Range}}</small>{{if .Ratio}}<small title="{{.Why}}">× {{.Ratio}} {{.Verdict}}</small>{{end}}</td>{{end}}</tr>
{{end}}</table>
{{range .Plots}}{{.}}
{{end}}{{end}}<h2>Checks</h2>
<table>{{range .Checks.Checks}}<tr><td>{{.Name}}{{if .Arm}}: {{.Arm}}{{end}}</td><td>{{if .OK}}yes{{else}}<span class="no">no</span>{{end}}</td><td>{{.Detail}}</td></tr>
{{end}}</table>
<h2>How it was measured</h2>
<table>{{range $what, $how := .Manifest.Measures}}<tr><td>{{$what}}</td><td>{{$how}}</td></tr>
{{end}}</table>
</body></html>
`))
