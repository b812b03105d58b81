package report

import (
	"fmt"
	"html/template"

	"chatbench/bench/plot"
	"chatbench/bench/stats"
)

// scaleSection is a Scaling as the page shows it.
type scaleSection struct {
	ID, Title string
	Rows      [][]string
	Says      []string
	Plot      *captioned
}

func (s *Scaling) section(place int) scaleSection {
	sec := scaleSection{ID: fmt.Sprintf("scale-%d", place), Title: s.heading(), Rows: s.rows()}
	for _, line := range s.sentences() {
		sec.Says = append(sec.Says, capital(line)+".")
	}
	if svg := s.plot(place); svg != "" {
		sec.Plot = &captioned{Title: "Deliveries/s by CPUs", Wide: true, SVG: svg,
			Note: "A dot is the median of the rounds, with the least and the greatest; hollow where the rate is not that of the server alone. The dotted line is the first rate times the number of CPUs. The law is drawn as far as was measured, faint if it is not determined."}
	}
	return sec
}

// plot draws the rates, the law, and the ideal.
func (s *Scaling) plot(place int) template.HTML {
	most, high := 0, 0.0
	var first *ScalePoint
	for i := range s.Points {
		p := &s.Points[i]
		if p.Rounds == 0 {
			continue
		}
		if first == nil {
			first = p
		}
		most, high = max(most, p.CPUs), max(high, p.High)
	}
	if first == nil || first.CPUs == most {
		return ""
	}
	each := first.Rate / float64(first.CPUs)
	high = max(high, each*float64(most)) * 1.05
	x := plot.Axis{Low: 0, High: float64(most) * 1.04, From: wideLeft, To: wideWidth - 30}
	y := plot.Axis{Low: 0, High: high, From: curveLow, To: curveTop}
	d := plot.New(wideWidth, curveLow+24, fmt.Sprintf("Deliveries a second of %s by the CPUs of its server, %s with %s.", s.Backend, count(first.Rate), cpuCount(first.CPUs)))
	d.LeftAxis(y, wideLeft, x.To, count)
	for _, p := range s.Points {
		d.Line(x.At(float64(p.CPUs)), curveLow, x.At(float64(p.CPUs)), curveTop, "grid")
		d.Text(x.At(float64(p.CPUs)), curveLow+15, plot.Middle, "tick", fmt.Sprint(p.CPUs))
	}
	d.Line(x.From, curveLow, x.To, curveLow, "axis")
	d.Line(x.At(float64(first.CPUs)), y.At(first.Rate), x.At(float64(most)), y.At(each*float64(most)), "one")
	d.Group("arm "+plot.Style(place), s.Backend)
	s.drawLaw(d, x, y, first.CPUs, most)
	for _, p := range s.Points {
		if p.Rounds == 0 {
			continue
		}
		at, class := x.At(float64(p.CPUs)), "dot"
		if p.Shared || p.AtLeast {
			class = "hollow"
		}
		d.Line(at, y.At(p.Low), at, y.At(p.High), "whisker")
		d.Dot(at, y.At(p.Rate), 3.5, class, fmt.Sprintf("%s: %s deliveries/s, limit: %s", cpuCount(p.CPUs), count(p.Rate), p.Limit))
	}
	d.End()
	return d.SVG()
}

// drawLaw draws the law between two numbers of CPUs.
func (s *Scaling) drawLaw(d *plot.Drawing, x, y plot.Axis, from, to int) {
	if s.Law == nil {
		return
	}
	const steps = 120
	law := stats.USL{Lambda: s.Law.Lambda.Value, Sigma: s.Law.Sigma.Value, Kappa: s.Law.Kappa.Value}
	var points [][2]float64
	for i := 0.0; i <= steps; i++ {
		n := float64(from) + float64(to-from)*i/steps
		points = append(points, [2]float64{x.At(n), y.At(law.At(n))})
	}
	class := "line"
	if !s.Law.Determined {
		class = "line faded"
	}
	d.Path(points, class)
}
