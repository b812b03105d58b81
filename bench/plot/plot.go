// Package plot draws plots as inline SVG: shapes, axes, labels that do not overlap,
// and styles by which many lines can be distinguished.
//
// It does not know what is drawn, nor its colours: shapes have classes, to which
// the style sheet of the page gives colours, light and dark. A drawing has
// no script, no font and no outside resource. The caption of a plot belongs to the
// page; for readers who cannot see the drawing, one sentence describes
// it. A drawing belongs to one goroutine.
package plot

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// FontSize is the size of a drawing's text in its own pixels; the style sheet
// must not set a larger one.
const FontSize = 11.0

// Drawing is one plot. Coordinates are pixels from the upper left corner.
type Drawing struct {
	b             strings.Builder
	width, height float64
	open          int // groups
}

// New begins a drawing; description is the sentence for readers who cannot see it.
func New(width, height float64, description string) *Drawing {
	d := &Drawing{width: width, height: height}
	fmt.Fprintf(&d.b, `<svg viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s">`,
		px(width), px(height), px(width), px(height), html.EscapeString(description))
	return d
}

// SVG ends the drawing and returns its text. Open groups are closed.
func (d *Drawing) SVG() template.HTML {
	for d.open > 0 {
		d.End()
	}
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String())
}

// File ends the drawing and returns it as a file of its own, with the style sheet that
// a page provides otherwise.
func (d *Drawing) File(css string) []byte {
	head, rest, _ := strings.Cut(string(d.SVG()), ">") // the only > in the head: texts are escaped
	head = strings.Replace(head, "<svg ", `<svg xmlns="http://www.w3.org/2000/svg" `, 1)
	return []byte(head + "><style>\n" + css + "</style>" + rest + "\n")
}

// px formats a coordinate in tenths of a pixel.
func px(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

// title is the text that a pointer over a shape shows; "" is none.
func title(hover string) string {
	if hover == "" {
		return ""
	}
	return "<title>" + html.EscapeString(hover) + "</title>"
}

// Group begins a group of shapes with a class, which ends with End.
func (d *Drawing) Group(class, hover string) {
	d.open++
	fmt.Fprintf(&d.b, `<g class="%s">%s`, class, title(hover))
}

// End ends the group that began last.
func (d *Drawing) End() {
	d.open--
	d.b.WriteString("</g>")
}

// The anchors of a text.
const (
	Start  = "start"
	Middle = "middle"
	End    = "end"
)

// Text writes a line whose baseline is y.
func (d *Drawing) Text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`, px(x), px(y), anchor, class, html.EscapeString(text))
}

// Name writes a text cut by Fit to so many pixels. A pointer shows all of
// it.
func (d *Drawing) Name(x, y, width float64, anchor, class, name string) {
	cut := Fit(name, width)
	if cut == name {
		d.Text(x, y, anchor, class, name)
		return
	}
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" text-anchor="%s" class="%s">%s%s</text>`, px(x), px(y), anchor, class, title(name), html.EscapeString(cut))
}

// Line draws a straight line.
func (d *Drawing) Line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, px(x1), px(y1), px(x2), px(y2), class)
}

// Rect fills a rectangle; a width or height below zero is zero.
func (d *Drawing) Rect(x, y, w, h float64, class, hover string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s">%s</rect>`, px(x), px(y), px(math.Max(w, 0)), px(math.Max(h, 0)), class, title(hover))
}

// Dot draws a circle.
func (d *Drawing) Dot(x, y, r float64, class, hover string) {
	fmt.Fprintf(&d.b, `<circle cx="%s" cy="%s" r="%s" class="%s">%s</circle>`, px(x), px(y), px(r), class, title(hover))
}

// Cross draws the mark of a value that does not count.
func (d *Drawing) Cross(x, y, r float64, class, hover string) {
	fmt.Fprintf(&d.b, `<path d="M%s %sl%s %sm0 %sl%s %s" class="%s">%s</path>`,
		px(x-r), px(y-r), px(2*r), px(2*r), px(-2*r), px(-2*r), px(2*r), class, title(hover))
}

// Arrow draws a triangle with its tip at x that points to the right, or, if
// size is below zero, to the left.
func (d *Drawing) Arrow(x, y, size float64, class, hover string) {
	half := math.Abs(size) * 0.6
	fmt.Fprintf(&d.b, `<path d="M%s %sl%s %sv%sz" class="%s">%s</path>`, px(x), px(y), px(-size), px(-half), px(2*half), class, title(hover))
}

// Path draws a line through points. Points that are less than a tenth of a pixel away from
// the line between their neighbours are left out.
func (d *Drawing) Path(points [][2]float64, class string) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&d.b, `<polyline points="%s" class="%s"/>`, coordinates(simplify(points)), class)
}

// Area fills the polygon between two lines, the upper and the lower edge, both
// from left to right.
func (d *Drawing) Area(upper, lower [][2]float64, class, hover string) {
	points := append([][2]float64{}, simplify(upper)...)
	back := simplify(lower)
	for i := range back {
		points = append(points, back[len(back)-1-i])
	}
	if len(points) > 0 {
		fmt.Fprintf(&d.b, `<polygon points="%s" class="%s">%s</polygon>`, coordinates(points), class, title(hover))
	}
}

func coordinates(points [][2]float64) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(px(p[0]) + "," + px(p[1]))
	}
	return b.String()
}

// simplify leaves out points that make no visible difference.
func simplify(points [][2]float64) [][2]float64 {
	const least = 0.1 // pixels
	var kept [][2]float64
	for i, p := range points {
		if i > 0 && i < len(points)-1 {
			a, b := kept[len(kept)-1], points[i+1]
			on := a[1] + (b[1]-a[1])*(p[0]-a[0])/math.Max(b[0]-a[0], 1e-9)
			if math.Abs(on-p[1]) < least && b[0] > a[0] {
				continue
			}
		}
		kept = append(kept, p)
	}
	return kept
}
