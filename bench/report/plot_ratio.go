package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"chatbench/bench/plot"
	"chatbench/bench/stats"
)

// ratioPlot is one judged figure: a dot for each arm's ratio to the reference,
// a whisker for its 95 % interval, a band for the interval of the A/A arm, and
// the medians as numbers. Every figure has a scale of its own.
func ratioPlot(l *LoadSummary, m metric, arms []drawnArm, reference string) template.HTML {
	const width, row, top = 400.0, 19.0, 4.0
	names, medians := nameWidth(arms, 140), 0.0
	var shown []drawnArm
	some := false
	for _, a := range arms {
		if f, ok := a.Figures[m.key]; ok {
			shown, some = append(shown, a), some || f.Versus != nil
			medians = math.Max(medians, plot.Width(f.value(m, false)))
		}
	}
	if !some {
		return ""
	}
	bottom := top + row*float64(len(shown))
	x := ratioAxis(ratios(shown, m.key), names+16, width-medians-20)
	d := plot.New(width, bottom+20, fmt.Sprintf("%s of each arm as a ratio to %s, with 95 %% intervals. %s", l.word(m.title), reference, extremes(shown, m.key)))
	for i := range shown {
		if i%2 == 1 {
			d.Rect(0, top+row*float64(i), width, row, "stripe", "")
		}
	}
	l.ratioBand(d, x, m, shown, reference, top, row)
	d.BottomAxis(x, bottom, top, trim4)
	d.Line(x.At(1), top, x.At(1), bottom, "one")
	for i, a := range shown {
		y := top + row*(float64(i)+0.5)
		d.Name(names+4, y+4, names, plot.End, nameClass(a, reference), a.Name)
		d.Text(width-4, y+4, plot.End, "", a.Figures[m.key].value(m, false))
		ratioMark(d, x, y, m, a, reference)
	}
	return d.SVG()
}

// ratioBand draws behind each arm how the reference differs from itself up to
// the arm's last round, extended to 1: the floor of its verdict.
func (l *LoadSummary) ratioBand(d *plot.Drawing, x plot.Axis, m metric, shown []drawnArm, reference string, top, row float64) {
	for i, a := range shown {
		c := l.aa(m.key, reference, a.lastRound)
		floor := c.Floor()
		if floor == (stats.Interval{}) || !l.comparablePair(m.key, l.arm(reference)) {
			continue
		}
		from, to := x.At(floor.Low), x.At(floor.High)
		d.Rect(from, top+row*float64(i), math.Max(to-from, 1), row, "band", fmt.Sprintf("A/A: the reference against itself in %d rounds, %s to %s", c.N, digits(floor.Low), digits(floor.High)))
	}
}

// nameClass highlights the reference.
func nameClass(a drawnArm, reference string) string {
	if a.Name == reference {
		return "strong"
	}
	return ""
}

// ratioMark draws one arm: beyond the scale it is an arrow with its
// figure at the edge.
func ratioMark(d *plot.Drawing, x plot.Axis, y float64, m metric, a drawnArm, reference string) {
	v := a.Figures[m.key].Versus
	if v == nil {
		if a.Name == reference {
			d.Dot(x.At(1), y, 3.5, "hollow ref", a.Name+": the reference")
		}
		return
	}
	class := m.quality(v)
	hover := fmt.Sprintf("%s: %s, %s (%s)", a.Name, ratioText(v), v.word(), v.Why)
	if v.full() {
		d.Text(x.To-6, y+4, plot.End, "tick halo", string(v.Reason))
		return
	}
	if !x.Holds(v.Ratio) {
		if text := "×" + digits(v.Ratio); v.Ratio > x.High {
			d.Arrow(x.To, y, 8, "arrow "+class, hover)
			d.Text(x.To-12, y+4, plot.End, "halo", text)
		} else {
			d.Arrow(x.From, y, -8, "arrow "+class, hover)
			d.Text(x.From+12, y+4, plot.Start, "halo", text)
		}
		return
	}
	if v.Low > 0 {
		d.Line(x.At(v.Low), y, x.At(v.High), y, "whisker "+class)
		if v.High > x.High {
			d.Arrow(x.To, y, 6, "arrow "+class, hover)
		}
		if v.Low < x.Low {
			d.Arrow(x.From, y, -6, "arrow "+class, hover)
		}
	}
	shape := "dot "
	if class == "even" {
		shape = "hollow "
	}
	d.Dot(x.At(v.Ratio), y, 3.5, shape+class, hover)
}

// quality is the class of a verdict: good, bad, or even if nothing is certain.
func (m metric) quality(v *Versus) string {
	switch v.Verdict {
	case m.words[0]:
		return "good"
	case m.words[1]:
		return "bad"
	}
	return "even"
}

// full says whether the server had no CPU to spare, or may have had none, so that
// there is no ratio.
func (v *Versus) full() bool {
	return v.Verdict == string(stats.ServerFull) || v.Reason == stats.PerhapsFull
}

// ratios returns what is shown on one scale.
func ratios(arms []drawnArm, key string) (vs []*Versus) {
	for _, a := range arms {
		if v := a.Figures[key].Versus; v != nil && !v.full() {
			vs = append(vs, v)
		}
	}
	return vs
}

// ratioAxis is a scale that shows most of the ratios. If there are
// four ratios or more, one that is three times as far from 1 (by its logarithm)
// as three quarters of them is off the scale, so that it does not compress the others.
// Over more than 3× the scale is logarithmic.
func ratioAxis(vs []*Versus, from, to float64) plot.Axis {
	const least, never, few, far = 1.06, 2.0, 4, 3.0
	limit := math.Inf(1)
	if len(vs) >= few {
		var away []float64
		for _, v := range vs {
			away = append(away, math.Abs(math.Log(v.Ratio)))
		}
		slices.Sort(away)
		limit = math.Max(far*away[(3*len(away)-1)/4], math.Log(never))
	}
	low, high := 1/least, least
	for _, v := range vs {
		if math.Abs(math.Log(v.Ratio)) > limit {
			continue
		}
		ends := []float64{v.Ratio}
		if v.Low > 0 {
			ends = append(ends, v.Low, v.High)
		}
		for _, end := range ends {
			end = math.Exp(math.Min(math.Max(math.Log(end), -limit), limit))
			low, high = math.Min(low, end), math.Max(high, end)
		}
	}
	a := plot.Axis{Low: low, High: high, From: from, To: to, Log: high/low > 3}
	const pad = 0.03
	if a.Log {
		by := math.Pow(high/low, pad)
		a.Low, a.High = low/by, high*by
	} else {
		a.Low, a.High = low-pad*(high-low), high+pad*(high-low)
	}
	return a
}

// trim4 labels a scale of ratios.
func trim4(v float64) string { return fmt.Sprintf("%.4g", v) }

// extremes names the arms with the lowest and the highest ratio of a figure.
func extremes(arms []drawnArm, key string) string {
	var low, high *drawnArm
	for i := range arms {
		v := arms[i].Figures[key].Versus
		switch {
		case v == nil || v.full() || arms[i].Again:
			continue
		case low == nil:
			low, high = &arms[i], &arms[i]
			continue
		}
		if v.Ratio < low.Figures[key].Versus.Ratio {
			low = &arms[i]
		}
		if v.Ratio > high.Figures[key].Versus.Ratio {
			high = &arms[i]
		}
	}
	if low == nil {
		return ""
	}
	text := fmt.Sprintf("%s: %s.", low.Name, ratioText(low.Figures[key].Versus))
	if high != low {
		text = fmt.Sprintf("From %s: %s, to %s: %s.", low.Name, ratioText(low.Figures[key].Versus), high.Name, ratioText(high.Figures[key].Versus))
	}
	return text
}
