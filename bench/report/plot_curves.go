package report

import (
	"fmt"
	"html/template"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/plot"
)

// The frame of the wide plots.
const (
	wideWidth  = 860.0
	wideLeft   = 62.0
	curveTop   = 8.0
	curveLow   = 330.0 // the y of the lower axis
	labelSpace = 170.0 // for the names at the ends of lines, at most
)

// drawnCurve is the curve of an arm.
type drawnCurve struct {
	drawnArm
	curve
}

// latencies returns the curves of all arms. Deliveries of one message are not
// independent values, so a curve's reach depends on the number of messages.
func latencies(arms []drawnArm) (curves []drawnCurve) {
	for _, a := range arms {
		if a.curve != nil {
			curves = append(curves, drawnCurve{a, curve{a.Name, a.curve, reachDecades(a.samples)}})
		}
	}
	return curves
}

// others returns the curves of a histogram whose values are independent.
func others(arms []drawnArm, of func(*ArmSummary) *hdrhistogram.Histogram) (curves []drawnCurve) {
	for _, a := range arms {
		if h := of(a.ArmSummary); h != nil {
			curves = append(curves, drawnCurve{a, curve{a.Name, h, reachDecades(h.TotalCount())}})
		}
	}
	return curves
}

// percentilePlot is latencies over the share of values below them, by powers
// of ten of the rest, both axes logarithmic. The part that the samples do not
// reach is grey. Each line has its name at its end.
func percentilePlot(says string, curves []drawnCurve) template.HTML {
	if curves == nil {
		return ""
	}
	right, reach := curveReach(curves)
	var plain []curve
	var arms []drawnArm
	for _, c := range curves {
		plain, arms = append(plain, curve{of: c.of, reach: right}), append(arms, c.drawnArm)
	}
	low, high := bounds(plain, right)
	names := nameWidth(arms, labelSpace)
	x := plot.Axis{Low: 0, High: right, From: wideLeft, To: wideWidth - names - 26}
	y := plot.Axis{Low: math.Pow(10, low), High: math.Pow(10, high), From: curveLow, To: curveTop, Log: true}
	d := plot.New(wideWidth, curveLow+24, says)
	if reach < right {
		d.Rect(x.At(reach), curveTop, x.To-x.At(reach), curveLow-curveTop, "beyond", "too few messages are slower than this")
	}
	d.LeftAxis(y, wideLeft, x.To, duration)
	percentAxis(d, x, right)
	var ends []float64
	for _, c := range curves {
		ends = append(ends, y.At(c.at(right)))
	}
	places := plot.Spread(ends, plot.FontSize+2, curveTop+4, curveLow-2)
	for i, c := range curves {
		d.Group(c.Class(), fmt.Sprintf("%s: p50 %s, p99 %s", c.drawnArm.Name, duration(c.at(math.Log10(2))), duration(c.at(2))))
		c.draw(d, x, y, right)
		d.Path([][2]float64{{x.To + 1, ends[i]}, {x.To + 16, places[i]}}, "leader")
		d.Name(x.To+20, places[i]+4, names, plot.Start, "", c.drawnArm.Name)
		d.End()
	}
	return d.SVG()
}

// draw draws the line, faint beyond the reach of its own samples.
func (c drawnCurve) draw(d *plot.Drawing, x, y plot.Axis, right float64) {
	const steps = 360
	var sure, faint [][2]float64
	for step := 0.0; step <= steps; step++ {
		v := right * step / steps
		p := [2]float64{x.At(v), y.At(c.at(v))}
		if v <= c.reach {
			sure = append(sure, p)
		} else {
			if faint == nil && sure != nil {
				faint = append(faint, sure[len(sure)-1])
			}
			faint = append(faint, p)
		}
	}
	d.Path(sure, "line")
	d.Path(faint, "line faded")
}

// curveReach is where the axis of some curves ends, and from where on none of
// them means anything: a little beyond the longest reach.
func curveReach(curves []drawnCurve) (right, reach float64) {
	for _, c := range curves {
		reach = math.Max(reach, c.reach)
	}
	const beyond, most = 0.5, 6
	return math.Min(math.Max(reach+beyond, 1), most), reach
}

// percentAxis draws the horizontal axis, the share of lower values, up to right.
func percentAxis(d *plot.Drawing, x plot.Axis, right float64) {
	tick := func(v float64, label string) {
		at := x.At(v)
		d.Line(at, curveLow, at, curveTop, "grid")
		if at+plot.Width(label)/2 < wideWidth {
			d.Text(at, curveLow+15, plot.Middle, "tick", label)
		}
	}
	for decade := 0; float64(decade) <= right+1e-9; decade++ {
		tick(float64(decade), percentile(decade))
	}
	tick(math.Log10(2), "50 %")
	d.Line(x.From, curveLow, x.To, curveLow, "axis")
}
