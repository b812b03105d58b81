package report

import (
	"fmt"
	"html/template"
	"math"

	"chatbench/bench/plot"
)

// rankBars returns for each row of a ranking a picture of its ratio to the best with the
// interval, all on one scale from the best on; "" if there is none.
func rankBars(r *Ranking) []template.HTML {
	const width, height, right = 240.0, 16.0, 8.0
	var vs []*Versus
	for _, row := range r.Rows {
		if row.ToBest != nil {
			vs = append(vs, &Versus{Ratio: row.ToBest.Ratio, Low: row.ToBest.Low, High: row.ToBest.High})
		}
	}
	x := ratioAxis(vs, right, width-right)
	x.Low = 0.97 * leastOf(vs)
	bars := make([]template.HTML, len(r.Rows))
	for i, row := range r.Rows {
		best := row.Rank == 1
		if row.ToBest == nil && !best {
			continue
		}
		says := "the best, to which the others are set in ratio"
		if !best {
			says = fmt.Sprintf("%s: %s of the best", row.Arm, row.ToBest.text(row.AtMost, true))
		}
		d := plot.New(width, height, says)
		d.Line(x.At(1), 0, x.At(1), height, "one")
		if best {
			d.Dot(x.At(1), height/2, 4, "dot even", "")
		} else {
			row.ToBest.bar(d, x, height/2, says)
		}
		bars[i] = d.SVG()
	}
	return bars
}

// leastOf is the lowest end of the intervals, 1 if there are none.
func leastOf(vs []*Versus) float64 {
	least := 1.0
	for _, v := range vs {
		if v.Low > 0 {
			least = math.Min(least, v.Low)
		}
	}
	return least
}

// bar draws one ratio; beyond the scale it is an arrow.
func (r *Ratio) bar(d *plot.Drawing, x plot.Axis, y float64, hover string) {
	d.Rect(x.At(1), y-3, x.At(r.Ratio)-x.At(1), 6, "bar", hover)
	if !x.Holds(r.Ratio) {
		d.Arrow(x.To+4, y, 9, "arrow even", hover)
		return
	}
	if r.Low > 0 {
		d.Line(x.At(r.Low), y, x.At(r.High), y, "whisker even")
	}
	d.Dot(x.At(r.Ratio), y, 3, "dot even", hover)
}
