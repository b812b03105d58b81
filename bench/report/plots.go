package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// The frame all plots share.
const (
	plotWidth  = 720.0
	plotHeight = 340.0
	plotLeft   = 80.0
	plotRight  = plotWidth - 20
	plotTop    = 30.0
	plotBottom = plotHeight - 60
)

// percentilePlot is (b) and (i): latency over the share of values below it,
// by powers of ten of the rest.
func percentilePlot(title string, arms []ArmSummary, of func(ArmSummary) *hdrhistogram.Histogram) template.HTML {
	var curves []curve
	for _, a := range arms {
		if h := of(a); h != nil {
			curves = append(curves, curve{a.Name, h, rests(a, h)})
		}
	}
	if curves == nil {
		return ""
	}
	right := decades(curves)
	low, high := bounds(curves, right)
	x := axis{low: 0, high: right, from: plotLeft, to: plotRight}
	y := axis{low: math.Pow(10, low), high: math.Pow(10, high), from: plotBottom, to: plotTop, log: true}
	d := draw(plotWidth, plotHeight, title)
	d.leftAxis(y, plotLeft, plotRight, duration)
	for decade := 0; float64(decade) <= right; decade++ {
		at := x.at(float64(decade))
		d.line(at, plotBottom, at, plotTop, "grid")
		d.text(at, plotBottom+15, "middle", "tick", percentile(decade))
	}
	for i, a := range arms {
		h := of(a)
		if h == nil {
			continue
		}
		var points [][2]float64
		for step := 0.0; step <= 240; step++ {
			v := right * step / 240
			if step > 0 && v > rests(a, h) {
				break
			}
			points = append(points, [2]float64{x.at(v), y.at(curve{of: h}.at(v))})
		}
		d.path(points, armClass(i, a.Again))
	}
	d.legend(plotLeft, plotHeight-15, arms)
	return d.done()
}

// rests is how far right a curve of an arm reaches: of latencies as far as its
// messages, and each message has one lateness.
func rests(a ArmSummary, h *hdrhistogram.Histogram) float64 {
	if h == a.curve {
		return reachDecades(a.rests)
	}
	return reachDecades(h.TotalCount())
}

// cpuPlot is (c): CPU per delivery, user and kernel stacked.
func cpuPlot(l *LoadSummary) template.HTML {
	most := 0.0
	for _, a := range l.Arms {
		most = math.Max(most, a.Figures[keyUser].Median+a.Figures[keyKernel].Median)
	}
	if most == 0 {
		return ""
	}
	const bar = 34.0
	height := 90 + bar*float64(len(l.Arms))
	d := draw(plotWidth, height, l.Name+": CPU per 1000 deliveries, medians, µs")
	for i, part := range []string{"user", "kernel"} {
		x := plotLeft + 60 + 80*float64(i)
		d.rect(x, height-16, 14, 10, part, part)
		d.text(x+20, height-7, "start", "tick", part)
	}
	x := axis{low: 0, high: most * 1.1, from: plotLeft + 60, to: plotRight}
	d.bottomAxis(x, height-50, 28, plain)
	for i, a := range l.Arms {
		y := 34 + bar*float64(i)
		user, kernel := a.Figures[keyUser].Median, a.Figures[keyKernel].Median
		d.text(x.from-8, y+17, "end", "tick", a.Name)
		d.rect(x.from, y, x.at(user)-x.from, bar-10, "user", fmt.Sprintf("%s, user: %s µs", a.Name, plain(user)))
		d.rect(x.at(user), y, x.at(user+kernel)-x.at(user), bar-10, "kernel", fmt.Sprintf("%s, kernel: %s µs", a.Name, plain(kernel)))
	}
	return d.done()
}

// forestPlot is (d): each judged figure as a ratio to the reference with its
// interval, the A/A arm among them; the band is that of a tie.
func forestPlot(l *LoadSummary, reference string) template.HTML {
	type row struct {
		label, class string
		*Versus
	}
	var rows []row
	low, high := 0.8, 1.25
	for _, m := range metrics {
		for i, a := range l.Arms {
			if v := a.Figures[m.key].Versus; v != nil {
				title := m.title + ", " + a.Name
				if l.primary(m.key) {
					title = "• " + title
				}
				rows = append(rows, row{title, armClass(i, a.Again), v})
				low, high = math.Min(low, v.Ratio), math.Max(high, v.Ratio)
				if v.Low > 0 {
					low, high = math.Min(low, v.Low), math.Max(high, v.High)
				}
			}
		}
	}
	if rows == nil {
		return ""
	}
	const step = 20.0
	height := 75 + step*float64(len(rows))
	d := draw(plotWidth, height, fmt.Sprintf("%s: ratio to %s, 95 %% interval (band: ±5 %%; •: primary)", l.Name, reference))
	x := axis{low: math.Max(low*0.95, 1e-3), high: math.Min(high*1.05, 1e4), from: 270, to: plotRight, log: true}
	bottom := height - 35
	tie := stats.TieBand
	d.rect(x.at(tie.Low), 28, x.at(tie.High)-x.at(tie.Low), bottom-28, "band", "a tie: within ±5 %")
	d.bottomAxis(x, bottom, 28, digits)
	d.line(x.at(1), 28, x.at(1), bottom, "one")
	for i, r := range rows {
		y := 42 + step*float64(i)
		d.text(262, y+4, "end", "tick", r.label)
		hover := fmt.Sprintf("%s: %s, %s (%s)", r.label, ratioText(r.Versus), r.Verdict, r.Why)
		if r.Low > 0 {
			d.line(x.at(r.Low), y, x.at(r.High), y, "line "+r.class)
		}
		d.dot(x.at(r.Ratio), y, "dot "+strings.Fields(r.class)[0], hover)
	}
	return d.done()
}

// roundPlot is (e): one figure, round by round; void rounds are left out.
func roundPlot(run *record.Run, l *LoadSummary, key string) template.HTML {
	m := find(key)
	lines := make([][][2]float64, len(l.Arms)) // round, value
	low, high := math.Inf(1), math.Inf(-1)
	for i, a := range l.Arms {
		for n := range run.Rounds {
			r := &run.Rounds[n]
			if v, ok := m.of(view{r, l.Load, &run.Manifest}); ok && r.Load == l.Name && r.Arm == a.Name && r.Counts() {
				lines[i] = append(lines[i], [2]float64{float64(r.Round), v})
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
	}
	if math.IsInf(low, 0) {
		return ""
	}
	low, high = math.Min(low*0.95, 0.9*high), high*1.05
	if high <= low {
		high = low + 1
	}
	title := m.title
	if m.unit != "" {
		title += ", " + m.unit
	}
	d := draw(plotWidth, plotHeight, l.Name+": "+title+", round by round")
	y := axis{low: low, high: high, from: plotBottom, to: plotTop}
	last := 1
	for i := range l.Arms {
		last = max(last, l.Arms[i].until)
	}
	x := axis{low: 0.5, high: float64(last) + 0.5, from: plotLeft, to: plotRight}
	d.leftAxis(y, plotLeft, plotRight, m.print)
	for round := 1; round <= last; round++ {
		d.text(x.at(float64(round)), plotBottom+15, "middle", "tick", fmt.Sprint(round))
	}
	for i, line := range lines {
		class := armClass(i, l.Arms[i].Again)
		var points [][2]float64
		for _, p := range line {
			points = append(points, [2]float64{x.at(p[0]), y.at(p[1])})
		}
		d.path(points, class)
		for n, p := range points {
			d.dot(p[0], p[1], "dot "+strings.Fields(class)[0], fmt.Sprintf("%s, round %.0f: %s", l.Arms[i].Name, line[n][0], m.print(line[n][1])))
		}
	}
	d.legend(plotLeft, plotHeight-15, l.Arms)
	return d.done()
}
