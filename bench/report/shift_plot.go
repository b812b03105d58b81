package report

import (
	"fmt"
	"html/template"
	"math"

	"chatbench/bench/plot"
)

// The frame of one small panel.
const (
	panelWidth  = 340.0
	panelHeight = 190.0
	panelLeft   = 46.0
	panelRight  = panelWidth - 12
	panelTop    = 26.0
	panelBottom = panelHeight - 24
)

// shiftPlots is one panel for each arm. The horizontal axis is the share of messages, by
// powers of ten of the rest, as in percentilePlot, the same in all panels; the vertical axis is
// the ratio, by its logarithm, in each panel with a scale of its own. The shaded
// band is that of the reference against itself, which again returns for each arm;
// nil: not known.
func shiftPlots(all []Shift, again func(arm string) *Shift) (panels []template.HTML) {
	right := 1.0
	for _, s := range all {
		right = math.Max(right, math.Ceil(rest(s.Reach)-1e-9))
	}
	for _, s := range all {
		panels = append(panels, shiftPanel(s, again(s.Arm), right))
	}
	return panels
}

func shiftPanel(s Shift, again *Shift, right float64) template.HTML {
	says := s.words(again)
	d := plot.New(panelWidth, panelHeight, fmt.Sprintf("%s: ratio of latency at each percentile, %s.", s.Arm, says))
	x := plot.Axis{Low: 0, High: right, From: panelLeft, To: panelRight}
	y := s.ratios()
	d.Name(panelLeft, 14, panelRight-panelLeft, plot.Start, "strong", s.Arm)
	for _, v := range y.Ticks(2 * plot.FontSize) {
		d.Line(panelLeft, y.At(v), panelRight, y.At(v), "grid")
		d.Text(panelLeft-5, y.At(v)+4, plot.End, "tick", trim(v)+"×")
	}
	percentileAxis(d, x)
	if end := x.At(rest(s.Reach)); end < panelRight {
		d.Rect(end, panelTop, panelRight-end, panelBottom-panelTop, "beyond",
			fmt.Sprintf("beyond %s fewer than %d messages of a round are slower", percentileName(s.Reach), tail))
	}
	if again != nil && again.banded() {
		upper, lower := again.edges(x, y)
		d.Area(upper, lower, "band", fmt.Sprintf("the reference against itself: %s", again.words(nil)))
	}
	d.Line(panelLeft, y.At(1), panelRight, y.At(1), "one")
	d.Group(plot.Style(0), fmt.Sprintf("%s: %s", s.Arm, says))
	if s.banded() {
		upper, lower := s.edges(x, y)
		d.Area(upper, lower, "fill", "")
	}
	d.Path(s.line(x, y, func(p ShiftPoint) float64 { return p.Ratio }), "line")
	d.End()
	return d.SVG()
}

// ratios is the vertical axis: at least a fifth up and down, so that small
// differences look small, and with the whole band on it up to a factor of a thousand.
func (s Shift) ratios() plot.Axis {
	low, high := 1/1.2, 1.2
	for _, p := range s.Points {
		low, high = math.Min(low, p.Ratio), math.Max(high, p.Ratio)
		if p.Low > 0 {
			low, high = math.Min(low, p.Low), math.Max(high, p.High)
		}
	}
	return plot.Axis{Low: math.Max(low, 1e-3), High: math.Min(high, 1e3), From: panelBottom, To: panelTop, Log: true}
}

func (s Shift) line(x, y plot.Axis, of func(ShiftPoint) float64) (points [][2]float64) {
	for _, p := range s.Points {
		points = append(points, [2]float64{x.At(rest(p.Share)), y.At(of(p))})
	}
	return points
}

// edges returns the band's upper and lower line.
func (s Shift) edges(x, y plot.Axis) (upper, lower [][2]float64) {
	return s.line(x, y, func(p ShiftPoint) float64 { return p.High }), s.line(x, y, func(p ShiftPoint) float64 { return p.Low })
}

// percentileAxis draws the vertical grid lines and the labels for which there is room.
func percentileAxis(d *plot.Drawing, x plot.Axis) {
	free := 0.0
	for _, share := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} {
		if rest(share) > x.High+1e-9 {
			break
		}
		at, label := x.At(rest(share)), percentileName(share)
		d.Line(at, panelBottom, at, panelTop, "grid")
		left, anchor := at-plot.Width(label)/2, plot.Middle
		if left < panelLeft { // beside the axis is where ratios have their labels
			left, anchor = at, plot.Start
		}
		if right := left + plot.Width(label); left >= free && right <= panelWidth {
			d.Text(at, panelBottom+15, anchor, "tick", label)
			free = right + 4
		}
	}
}
