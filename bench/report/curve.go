package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
)

// The percentile curve on a terminal. The horizontal axis is the share of deliveries that are
// slower, by powers of ten, so that the tail has as much room as the body;
// the vertical axis is the latency, by powers of ten too. Braille cells contain 2×4 dots.

const plotRows = 12

// curve is one line of a plot.
type curve struct {
	name  string
	of    *hdrhistogram.Histogram
	reach float64 // in decades: further right there are too few messages
}

// at is the latency that the share 1-10^-x of deliveries does not exceed.
func (c curve) at(x float64) float64 {
	return math.Max(1, float64(c.of.ValueAtPercentile(100*(1-math.Pow(10, -x)))))
}

// decades is how far right the plot goes: as far as the curve that reaches
// furthest, in whole powers of ten.
func decades(curves []curve) float64 {
	d := 1.0
	for _, c := range curves {
		d = math.Max(d, math.Floor(c.reach+1e-9)) // a power of ten itself is one
	}
	return math.Min(d, 5)
}

// curves returns the curves of the arms that have one, without the A/A arm unless again is set.
func (l *LoadSummary) curves(again bool) (cs []curve) {
	for _, a := range l.Arms {
		if a.curve != nil && (again || !a.Again) {
			cs = append(cs, curve{a.Name, a.curve, reachDecades(a.samples)})
		}
	}
	return cs
}

// bounds is the least and the greatest latency to show, as log10 of ns.
func bounds(curves []curve, right float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		low = math.Min(low, math.Log10(c.at(0.02)))
		high = math.Max(high, math.Log10(c.at(math.Min(right, c.reach))))
	}
	return low, math.Max(high, low+0.1)
}

// plot draws the curves of a load, of which there is at least one.
func (l *LoadSummary) plot(w io.Writer, style Style) {
	curves := l.curves(false)
	label := 0
	for _, c := range curves {
		label = max(label, utf8.RuneCountInString(c.name))
	}
	const axis = 8 // columns left of the canvas
	right := decades(curves)
	low, high := bounds(curves, right)
	p := newCanvas(style.width()-axis-label-3, plotRows)
	ends := make([]string, plotRows)
	for i, c := range curves {
		last := p.line(func(x float64) float64 {
			return (math.Log10(c.at(x*right)) - low) / (high - low)
		}, c.reach/right, i)
		ends[freeRow(ends, last)] = style.paint(colours[i%len(colours)], c.name)
	}
	from, of := "a message was due to its delivery", "deliveries"
	if l.Scenario == record.Relay {
		from, of = "a request was due to the end of its answer", "answers"
	}
	fmt.Fprintf(w, "%s: from when %s; across, the share of %s that took at most so long\n", style.paint(bold, l.Name), from, of)
	ticks := latencyTicks(low, high)
	for row := range plotRows {
		fmt.Fprintf(w, "%*s ┤%s %s\n", axis-2, ticks[row], p.row(row, style), ends[row])
	}
	fmt.Fprintf(w, "%s└%s\n", strings.Repeat(" ", axis-1), strings.Repeat("─", p.columns))
	fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", axis), percentTicks(right, p.columns))
}

// freeRow finds the row nearest to the wanted one that has no label yet.
func freeRow(labels []string, want int) int {
	for distance := range labels {
		for _, row := range []int{want - distance, want + distance} {
			if row >= 0 && row < len(labels) && labels[row] == "" {
				return row
			}
		}
	}
	return want
}

// latencyTicks labels the rows nearest to 1, 2 and 5 times a power of ten.
func latencyTicks(low, high float64) (labels [plotRows]string) {
	steps := []float64{1, 2, 5}
	if high-low > 2.5 {
		steps = steps[:1]
	}
	for decade := math.Floor(low); decade <= high; decade++ {
		for _, step := range steps {
			at := (decade + math.Log10(step) - low) / (high - low)
			if row := int(math.Round((1 - at) * (plotRows - 1))); at >= 0 && at <= 1 && labels[row] == "" {
				labels[row] = duration(step * math.Pow(10, decade))
			}
		}
	}
	return labels
}

// duration formats a latency in a suitable unit.
func duration(ns float64) string {
	switch {
	case ns < float64(time.Microsecond):
		return plain(ns) + " ns"
	case ns < float64(time.Millisecond):
		return trim(ns/1e3) + " µs"
	case ns < float64(time.Second):
		return trim(ns/1e6) + " ms"
	}
	return trim(ns/1e9) + " s"
}

// trim formats a number with three digits, without zeros at its end.
func trim(v float64) string { return fmt.Sprintf("%.3g", v) }

// percentTicks writes 0 %, 90 %, 99 % … under their places.
func percentTicks(right float64, columns int) string {
	line := []rune(strings.Repeat(" ", columns+8))
	for d := 0; float64(d) <= right; d++ {
		text := percentile(d)
		at := int(math.Round(float64(d) / right * float64(columns-1)))
		at = max(0, at-utf8.RuneCountInString(text)/2)
		copy(line[at:], []rune(text))
	}
	return strings.TrimRight(string(line), " ")
}

// percentile writes 1-10^-d: 0 %, 90 %, 99 %, 99.9 %.
func percentile(d int) string {
	switch d {
	case 0:
		return "0 %"
	case 1:
		return "90 %"
	case 2:
		return "99 %"
	}
	return "99." + strings.Repeat("9", d-2) + " %"
}

// canvas is a grid of braille cells.
type canvas struct {
	columns, rows int
	dots          []rune // eight bits a cell
	owner         []int  // who drew there last
}

func newCanvas(columns, rows int) *canvas {
	return &canvas{columns: columns, rows: rows, dots: make([]rune, columns*rows), owner: make([]int, columns*rows)}
}

// line draws y(x), both from 0 to 1, without gaps, up to x = end, and returns the
// row in which it ends.
func (c *canvas) line(y func(float64) float64, end float64, owner int) (row int) {
	width, height := 2*c.columns, 4*c.rows
	before := -1
	for x := range width {
		if x > 0 && float64(x) > end*float64(width-1) {
			break
		}
		at := y(float64(x) / float64(width-1))
		dot := min(max(int(math.Round((1-at)*float64(height-1))), 0), height-1)
		from, to := dot, dot
		if before >= 0 {
			from, to = min(dot, before), max(dot, before)
		}
		for d := from; d <= to; d++ {
			c.set(x, d, owner)
		}
		before = dot
	}
	return before / 4
}

// set sets one dot. Unicode numbers the dots of a cell by columns, except for
// the fourth row, which was added later.
func (c *canvas) set(x, y, owner int) {
	bits := [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}
	i := y/4*c.columns + x/2
	c.dots[i] |= bits[y%4][x%2]
	c.owner[i] = owner
}

// row is one line of text.
func (c *canvas) row(n int, style Style) string {
	var b strings.Builder
	for x := range c.columns {
		i := n*c.columns + x
		if c.dots[i] == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(style.paint(colours[c.owner[i]%len(colours)], string(0x2800+c.dots[i])))
	}
	return b.String()
}
