package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"chatbench/bench/plot"
	"chatbench/bench/record"
)

// roundValue is one figure in one round of an arm.
type roundValue struct {
	round int
	value float64 // if it has one
	has   bool
	void  []record.Reason // why it does not count; nil: it does
}

// byRound returns a figure of an arm in all rounds, including void ones.
func (l *LoadSummary) byRound(run *record.Run, m metric, arm string) (values []roundValue) {
	for n := range run.Rounds {
		r := &run.Rounds[n]
		if r.Load != l.Name || r.Arm != arm {
			continue
		}
		v, ok := m.at(view{r, l.Load, &run.Manifest})
		values = append(values, roundValue{r.Round, v, ok, r.Void})
	}
	return values
}

// roundPlot is one figure round by round, one arm per row: how far each round is
// from the arm's own median. Void rounds are crosses; a pointer shows
// the reason.
func roundPlot(run *record.Run, l *LoadSummary, m metric, arms []drawnArm, reference string) template.HTML {
	const row, top = 26.0, 4.0
	last, medians := 1, 0.0
	values := make([][]roundValue, len(arms))
	for i, a := range arms {
		values[i] = l.byRound(run, m, a.Name)
		medians = math.Max(medians, plot.Width(a.Figures[m.key].value(m, true)))
		for _, v := range values[i] {
			last = max(last, v.round)
		}
	}
	height := roundHeight(values, arms, m.key)
	names, bottom := nameWidth(arms, labelSpace), top+row*float64(len(arms))
	d := plot.New(wideWidth, bottom+22, fmt.Sprintf("%s of each arm round by round, as the distance from the arm's own median; a row is %s %% high to either side.", l.word(m.title), plain(100*height)))
	x := plot.Axis{Low: 0.5, High: float64(last) + 0.5, From: names + 14, To: wideWidth - medians - 20}
	for i, a := range arms {
		y := plot.Axis{Low: -height, High: height, From: top + row*float64(i+1) - 4, To: top + row*float64(i) + 4}
		if i%2 == 1 {
			d.Rect(0, top+row*float64(i), wideWidth, row, "stripe", "")
		}
		d.Line(x.From, y.At(0), x.To, y.At(0), "grid")
		d.Name(names+4, y.At(0)+4, names, plot.End, nameClass(a, reference), a.Name)
		if f, ok := a.Figures[m.key]; ok {
			d.Text(wideWidth-4, y.At(0)+4, plot.End, "", f.value(m, true))
		}
		a.rounds(d, x, y, m, values[i])
	}
	every := math.Ceil(28 / (x.At(2) - x.At(1)))
	for round := 1.0; round <= float64(last); round += every {
		d.Text(x.At(round), bottom+15, plot.Middle, "tick", fmt.Sprint(round))
	}
	d.Line(x.From, bottom, x.To, bottom, "axis")
	return d.SVG()
}

// rounds draws one row.
func (a drawnArm) rounds(d *plot.Drawing, x, y plot.Axis, m metric, values []roundValue) {
	median := a.Figures[m.key].Median
	var line [][2]float64
	off := func(v roundValue) float64 { return v.value/median - 1 }
	for _, v := range values {
		if v.void == nil && v.has && median != 0 {
			line = append(line, [2]float64{x.At(float64(v.round)), y.At(off(v))})
		}
	}
	d.Group(strings.TrimPrefix(a.Class(), "arm "), "")
	defer d.End()
	d.Path(line, "leader")
	for _, v := range values {
		at, hover := x.At(float64(v.round)), fmt.Sprintf("%s, round %d: %s", a.Name, v.round, m.print(v.value))
		switch {
		case v.void != nil:
			d.Cross(at, y.At(0), 4, "void", fmt.Sprintf("%s, round %d is void: %s", a.Name, v.round, reasons(v.void)))
		case !v.has || median == 0:
		case !y.Holds(off(v)):
			d.Dot(at, y.At(off(v)), 3, "hollow", hover+", off the scale")
		default:
			d.Dot(at, y.At(off(v)), 2.5, "dot", hover)
		}
	}
}

func reasons(void []record.Reason) string {
	var texts []string
	for _, r := range void {
		texts = append(texts, string(r))
	}
	return strings.Join(texts, ", ")
}

// roundHeight is how far from its median, relatively, a row shows a value:
// enough for nineteen of twenty values.
func roundHeight(values [][]roundValue, arms []drawnArm, key string) float64 {
	var away []float64
	for i, a := range arms {
		for _, v := range values[i] {
			if median := a.Figures[key].Median; v.void == nil && v.has && median != 0 {
				away = append(away, math.Abs(v.value/median-1))
			}
		}
	}
	const least = 0.02
	if away == nil {
		return least
	}
	slices.Sort(away)
	return math.Max(least, away[(95*len(away)-1)/100])
}
