package report

import (
	"fmt"
	"html/template"
	"math"

	"chatbench/bench/plot"
)

// cpuPlot is CPU per delivery, user and kernel stacked, an arm a row.
func cpuPlot(l *LoadSummary, arms []drawnArm, reference string) template.HTML {
	const width, row, top = 400.0, 19.0, 4.0
	most, figures := 0.0, 0.0
	for _, a := range arms {
		sum := a.Figures[keyUser].Median + a.Figures[keyKernel].Median
		most, figures = math.Max(most, sum), math.Max(figures, plot.Width(plain(sum)))
	}
	if most == 0 {
		return ""
	}
	names, bottom := nameWidth(arms, 140), top+row*float64(len(arms))
	d := plot.New(width, bottom+20, fmt.Sprintf("CPU per 1000 %s of each arm, in user code and in the kernel, in µs. The most is %s.", l.units(), plain(most)))
	x := plot.Axis{Low: 0, High: most, From: names + 12, To: width - figures - 12}
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
		d.Text(width-4, y+row/2+4, plot.End, "", plain(user+kernel))
	}
	return d.SVG()
}
