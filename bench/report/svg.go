package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// drawing is one plot as inline SVG: no script, no font, no network. Colours
// are classes, so that the page's style can follow the reader's.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func draw(width, height float64, title string) *drawing {
	d := &drawing{width: width, height: height}
	fmt.Fprintf(&d.b, `<svg viewBox="0 0 %s %s" role="img"><title>%s</title>`, px(width), px(height), html.EscapeString(title))
	d.text(width/2, 16, "middle", "title", title)
	return d
}

// px writes a coordinate: a tenth of a pixel is enough for anybody.
func px(v float64) string { return fmt.Sprintf("%.1f", v) }

func (d *drawing) done() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String())
}

func (d *drawing) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`, px(x), px(y), anchor, class, html.EscapeString(text))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, px(x1), px(y1), px(x2), px(y2), class)
}

func (d *drawing) rect(x, y, w, h float64, class, hover string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"><title>%s</title></rect>`, px(x), px(y), px(math.Max(w, 0)), px(h), class, html.EscapeString(hover))
}

func (d *drawing) dot(x, y float64, class, hover string) {
	fmt.Fprintf(&d.b, `<circle cx="%s" cy="%s" r="3" class="%s"><title>%s</title></circle>`, px(x), px(y), class, html.EscapeString(hover))
}

func (d *drawing) path(points [][2]float64, class string) {
	if len(points) == 0 {
		return
	}
	d.b.WriteString(`<polyline points="`)
	for i, p := range points {
		if i > 0 {
			d.b.WriteByte(' ')
		}
		d.b.WriteString(px(p[0]) + "," + px(p[1]))
	}
	fmt.Fprintf(&d.b, `" class="line %s"/>`, class)
}

// axis maps values to pixels, by their logarithm if it says so; what is below
// a logarithmic axis is put on its end.
type axis struct {
	low, high float64 // values
	from, to  float64 // pixels
	log       bool
}

func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(math.Max(v, a.low))
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// ticks is round values along the axis.
func (a axis) ticks() (values []float64) {
	if a.log {
		steps := []float64{1, 2, 5}
		switch span := a.high / a.low; {
		case span > 300:
			steps = steps[:1]
		case span < 4:
			steps = []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}
		}
		for decade := math.Floor(math.Log10(a.low)); decade <= math.Log10(a.high); decade++ {
			for _, step := range steps {
				if v := step * math.Pow(10, decade); v >= a.low*0.999 && v <= a.high*1.001 {
					values = append(values, v)
				}
			}
		}
		return values
	}
	step := math.Pow(10, math.Floor(math.Log10((a.high-a.low)/4)))
	for _, by := range []float64{5, 2, 1} {
		if (a.high-a.low)/(step*by) >= 3 {
			step *= by
			break
		}
	}
	for v := math.Ceil(a.low/step) * step; v <= a.high*1.0001; v += step {
		values = append(values, v)
	}
	return values
}

// leftAxis draws a vertical axis with its grid, to the right edge.
func (d *drawing) leftAxis(a axis, x, right float64, label func(float64) string) {
	for _, v := range a.ticks() {
		y := a.at(v)
		d.line(x, y, right, y, "grid")
		d.text(x-6, y+4, "end", "tick", label(v))
	}
	d.line(x, a.from, x, a.to, "axis")
}

// bottomAxis draws a horizontal axis with its grid, up to the top.
func (d *drawing) bottomAxis(a axis, y, top float64, label func(float64) string) {
	for _, v := range a.ticks() {
		x := a.at(v)
		d.line(x, y, x, top, "grid")
		d.text(x, y+15, "middle", "tick", label(v))
	}
	d.line(a.from, y, a.to, y, "axis")
}

// legend names the arms below the plot.
func (d *drawing) legend(x, y float64, arms []ArmSummary) {
	for i, a := range arms {
		d.line(x, y-4, x+22, y-4, "line "+armClass(i, a.Again))
		d.text(x+28, y, "start", "tick", a.Name)
		x += 46 + 7*float64(len(a.Name))
	}
}

// armClass is the style of an arm, by its place; the A/A arm is dashed.
func armClass(place int, again bool) string {
	class := fmt.Sprintf("c%d", place%len(colours))
	if again {
		class += " again"
	}
	return class
}
