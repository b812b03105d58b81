package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"chatbench/bench/plot"
)

// cpuPlot is CPU per delivery, user and kernel stacked, one arm per row. A bar that
// would make the others too short ends in an arrow.
func cpuPlot(l *LoadSummary, arms []drawnArm, reference string) template.HTML {
	const width, row, top = 400.0, 19.0, 4.0
	var sums []float64
	figures := 0.0
	for _, a := range arms {
		sum := a.Figures[keyUser].Median + a.Figures[keyKernel].Median
		sums, figures = append(sums, sum), math.Max(figures, plot.Width(plain(sum)))
	}
	most := slices.Max(sums)
	if most == 0 {
		return ""
	}
	names, bottom := nameWidth(arms, 140), top+row*float64(len(arms))
	d := plot.New(width, bottom+20, fmt.Sprintf("CPU per 1000 %s of each arm, in user code and in the kernel, in µs. The most is %s.", l.units(), plain(most)))
	x := plot.Axis{Low: 0, High: barEnd(sums), From: names + 12, To: width - figures - 20}
	d.BottomAxis(x, bottom, top, plain)
	for i, a := range arms {
		y := top + row*float64(i)
		d.Name(names+4, y+row/2+4, names, plot.End, nameClass(a, reference), a.Name)
		user, kernel := a.Figures[keyUser].Median, a.Figures[keyKernel].Median
		if user+kernel == 0 {
			continue
		}
		d.Rect(x.From, y+3, x.At(user)-x.From, row-6, "user", fmt.Sprintf("%s, in user code: %s µs", a.Name, plain(user)))
		d.Rect(x.At(user), y+3, x.At(user+kernel)-x.At(user), row-6, "kernel", fmt.Sprintf("%s, in the kernel: %s µs", a.Name, plain(kernel)))
		if !x.Holds(user + kernel) {
			d.Arrow(x.To+8, y+row/2, 8, "arrow even", a.Name+": beyond the scale")
		}
		d.Text(width-4, y+row/2+4, plot.End, "", plain(user+kernel))
	}
	return d.SVG()
}

// barEnd is the end of a scale of bars: the longest bar, but with four or more at
// most three times the length that three quarters of them do not exceed.
func barEnd(sums []float64) float64 {
	sorted := slices.Sorted(slices.Values(sums))
	most := sorted[len(sorted)-1]
	if usual := sorted[(3*len(sorted)-1)/4]; len(sorted) >= 4 && usual > 0 {
		return math.Min(most, 3*usual)
	}
	return most
}
