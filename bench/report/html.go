package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/machine"
	"chatbench/bench/record"
)

//go:embed page
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/report.html"))

// asset is a file of the page; all of them are embedded.
func asset(name string) string {
	data, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// shell is what every page needs around its contents.
type shell struct {
	Title    string
	CSS      template.CSS
	Script   template.JS
	Switches []struct{} // as many as arms can be switched
}

func newShell(title string, arms int) shell {
	return shell{title, template.CSS(asset("style.css")), template.JS(asset("script.js")), make([]struct{}, arms)}
}

// page is the data of the template.
type page struct {
	shell
	*Summary
	Headline    string
	Correct     bool
	Correctness string
	Verdicts    []string // in sentences, arm by arm
	Caveats     []string
	Env         record.Env
	Manifest    record.Manifest
	Server      string // CPUs
	Generator   string // where it was
	Sections    []section
	Scales      []scaleSection
	Laws        []lawRow
	Failed      []record.Check
	Passed      int
}

// section is one load of the page.
type section struct {
	ID, Name, Heading string
	Short             string // the load in a heading: "at 1000 messages/s"
	Pilot             string // how its rate was chosen; "": it was given
	Ranking           *Ranking
	Unit              string // of the ranking
	Ranks             []rankLine
	Arms              []drawnArm
	Ratios            []captioned
	Figures           htmlTable
	All               []htmlTable
	Notes             []string
	Curves, Own       []captioned
	Shifts            []template.HTML
	Rounds            *captioned
}

// rankLine is a row of the ranking with its picture.
type rankLine struct {
	RankRow
	Times string // the ratio to the best
	Bar   template.HTML
}

// captioned is one plot with its caption.
type captioned struct {
	Title, Note string
	Wide        bool // it scrolls in a box of its own on a narrow screen
	SVG         template.HTML
}

// html makes report.html: one file that needs nothing else.
func (s *Summary) html(run *record.Run) ([]byte, error) {
	p := page{
		shell: newShell(s.Name, len(run.Manifest.Arms)), Summary: s, Headline: s.headline(),
		Correct: s.Checks.Checks[0].OK, Correctness: s.correctness(), Verdicts: s.verdicts()[1:], Caveats: s.caveats(),
		Env: run.Env, Manifest: run.Manifest,
		Server:    machine.FormatCPUs(run.Manifest.ServersCPUs()),
		Generator: generatorText(&run.Manifest),
	}
	for i := range s.Loads {
		l := &s.Loads[i]
		p.Sections = append(p.Sections, l.section(run))
	}
	for i := range s.Scaling {
		p.Scales = append(p.Scales, s.Scaling[i].section(i))
	}
	p.Laws = s.lawRows()
	for _, c := range s.Checks.Checks {
		if c.OK {
			p.Passed++
		} else {
			p.Failed = append(p.Failed, c)
		}
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}

// headline says what was compared.
func (s *Summary) headline() string {
	var others []string
	for _, a := range s.Loads[0].Arms {
		if a.Name != s.Reference && !a.Again {
			others = append(others, a.Name)
		}
	}
	const few = 4
	switch n := len(others); {
	case n == 0:
		return s.Reference + ", measured alone"
	case n <= few:
		return enumerate(others) + " against " + s.Reference
	default:
		return fmt.Sprintf("%d chat servers against %s", n, s.Reference)
	}
}

// section is everything that the page says about a load.
func (l *LoadSummary) section(run *record.Run) section {
	reference := run.Manifest.Reference
	arms := l.drawn(reference)
	sec := section{
		ID: "load-" + l.Name, Name: l.Name, Heading: l.describe(), Arms: arms,
		Figures: l.figureTable(arms, reference), All: l.allTables(arms, reference), Notes: l.notes(reference),
	}
	sec.rank(l)
	if l.Pilot != nil {
		sec.Pilot = capital(pilotText(l.Pilot))
	}
	for _, m := range metrics {
		if svg := ratioPlot(l, m, arms, reference); m.judged && svg != "" {
			sec.Ratios = append(sec.Ratios, captioned{Title: l.caption(m), Note: m.direction(), SVG: svg})
		}
	}
	if svg := cpuPlot(l, arms, reference); svg != "" {
		title := fmt.Sprintf("CPU per 1000 %s, µs", l.units())
		if sec.Ratios == nil {
			sec.Curves = append(sec.Curves, captioned{Title: title, SVG: svg})
		} else {
			sec.Ratios = append(sec.Ratios, captioned{Title: title, Note: cpuNote, SVG: svg})
		}
	}
	one, many := l.each()
	if svg := percentilePlot(fmt.Sprintf("Latency of %s by percentile, both axes logarithmic.", one), latencies(arms)); svg != "" {
		sec.Curves = append(sec.Curves, captioned{
			Title: fmt.Sprintf("Latency of %s, %s", one, l.since()), Wide: true, SVG: svg,
			Note: fmt.Sprintf("Across, the share of %s that took at most so long, the tail as wide as the body. In the grey part, and where a line is faint, too few messages are slower for the percentile to mean anything.", many),
		})
	}
	sec.Shifts = l.shiftPanels(run, arms)
	m := find(l.followed())
	sec.Rounds = &captioned{Title: l.caption(m), Wide: true, SVG: roundPlot(run, l, m, arms, reference),
		Note: "How far each round is from the median of its arm, which stands on the right. A cross is a void round, a hollow dot is off the scale; why, and how much, is shown under a pointer."}
	if svg := percentilePlot("The generator's own lateness by percentile.", others(arms, func(a *ArmSummary) *hdrhistogram.Histogram { return a.lag })); svg != "" {
		sec.Own = append(sec.Own, captioned{Title: "From when a send was due until it was done", Wide: true, SVG: svg, Note: "Latency from due contains it."})
	}
	if svg := percentilePlot("The time that what arrived lay in the generator's receive queue, by percentile.", others(arms, func(a *ArmSummary) *hdrhistogram.Histogram { return a.queue })); svg != "" {
		sec.Own = append(sec.Own, captioned{Title: "In the generator's own receive queue", Wide: true, SVG: svg, Note: "From the kernel's timestamp to the read, one value a read of some of the clients. Every latency contains it."})
	}
	return sec
}

// rank adds the ranking of a load, if it has one.
func (sec *section) rank(l *LoadSummary) {
	if l.Ranking == nil {
		return
	}
	sec.Ranking, sec.Short = l.Ranking, l.short()
	sec.Unit = l.unit(find(l.Ranking.Figure))
	bars := rankBars(l.Ranking)
	for i, row := range l.Ranking.Rows {
		sec.Ranks = append(sec.Ranks, rankLine{row, row.ToBest.text(row.AtMost, true), bars[i]})
	}
}

const cpuNote = `In user code (orange) and in the kernel (blue).`

// followed is the figure that is shown round by round.
func (l *LoadSummary) followed() string {
	switch {
	case l.Scenario == record.Idle:
		return primary(l.Load)[0]
	case l.Closed():
		return keyRate
	}
	return keyCPU
}

// caption is the title of a figure with its unit, and its mark.
func (l *LoadSummary) caption(m metric) string {
	if m.unit == "" {
		return l.mark(m)
	}
	return l.mark(m) + ", " + l.unit(m)
}

// unit is the full unit, for which a table on a terminal has no room.
func (l *LoadSummary) unit(m metric) string {
	unit, per1000 := strings.CutSuffix(m.unit, "/1000")
	if !per1000 {
		unit, per1000 = strings.CutSuffix(unit, "per 1000")
	}
	if !per1000 {
		return m.unit
	}
	return strings.TrimSpace(unit + " per 1000 " + l.units())
}

// direction says which direction of a figure is good.
func (m metric) direction() string {
	if m.better == higher {
		return "Higher is better."
	}
	return "Lower is better."
}

// notes is what the terminal says below the table of a load.
func (l *LoadSummary) notes(reference string) (lines []string) {
	var out bytes.Buffer
	l.below(&out, reference)
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// shiftPanels is the shift function of each arm, in the order of the page. The
// band of each is A/A up to the arm's last round, as it is for verdicts.
func (l *LoadSummary) shiftPanels(run *record.Run, arms []drawnArm) []template.HTML {
	all := shifts(run, l.Load)
	again, floors := l.again(), make(map[int]*Shift)
	var sorted []Shift
	for _, a := range arms {
		s := shiftOfArm(all, a.Name)
		if s == nil {
			continue
		}
		sorted = append(sorted, *s)
		if _, known := floors[a.lastRound]; !known && again != nil {
			floors[a.lastRound] = shift(upTo(run, a.lastRound), l.Load, again.Arm)
		}
	}
	return shiftPlots(sorted, func(arm string) *Shift { return floors[l.arm(arm).lastRound] })
}
