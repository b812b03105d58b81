package plot

import "math"

// Axis maps values to pixels, logarithmically if Log is set. A value beyond
// an end is drawn at that end.
type Axis struct {
	Low, High float64 // values, Low < High; above zero if Log
	From, To  float64 // the pixels of Low and of High
	Log       bool
}

// At returns the pixel of a value.
func (a Axis) At(v float64) float64 {
	v = math.Min(math.Max(v, a.Low), a.High)
	low, high := a.Low, a.High
	if a.Log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(v)
	}
	return a.From + (v-low)/(high-low)*(a.To-a.From)
}

// Holds says whether a value lies between the ends.
func (a Axis) Holds(v float64) bool { return a.Low <= v && v <= a.High }

// Ticks returns as many round values along the axis as leave gap pixels between two of them.
func (a Axis) Ticks(gap float64) []float64 {
	choices := a.linear
	if a.Log {
		choices = a.logarithmic
	}
	for n := 0; ; n++ {
		values, more := choices(n)
		if !more || a.apart(values, gap) {
			return values
		}
	}
}

// apart says whether no two neighbours are closer than gap pixels.
func (a Axis) apart(values []float64, gap float64) bool {
	for i := 1; i < len(values); i++ {
		if math.Abs(a.At(values[i])-a.At(values[i-1])) < gap {
			return false
		}
	}
	return true
}

// within is how far beyond an end a tick may be because of rounding.
const within = 1e-9

// linear returns multiples of a step that grows with n: 1, 2, 5, 10 …
func (a Axis) linear(n int) (values []float64, more bool) {
	span := a.High - a.Low
	step := math.Pow(10, math.Floor(math.Log10(span))-2+float64(n/3)) * []float64{1, 2, 5}[n%3]
	for i := math.Ceil(a.Low/step - within); i*step <= a.High+within*span; i++ {
		values = append(values, i*step+0) // + 0: zero has no sign
	}
	return values, step < span
}

// dense are the ticks of one decade, from few to many.
var dense = [][]float64{
	{1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9},
	{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8},
	{1, 1.5, 2, 3, 4, 5, 7},
	{1, 2, 5}, {1, 3}, {1},
}

// logarithmic returns some values of each decade; with growing n of every second decade …
func (a Axis) logarithmic(n int) (values []float64, more bool) {
	steps, every := dense[min(n, len(dense)-1)], max(1, n-len(dense)+2)
	for decade := int(math.Floor(math.Log10(a.Low))); float64(decade) <= math.Log10(a.High); decade++ {
		for _, step := range steps {
			v := step * math.Pow(10, float64(decade))
			if decade%every == 0 && v >= a.Low*(1-within) && v <= a.High*(1+within) {
				values = append(values, v)
			}
		}
	}
	return values, every < 20
}

// LeftAxis draws a vertical axis with its grid, to the right edge.
func (d *Drawing) LeftAxis(a Axis, x, right float64, label func(float64) string) {
	for _, v := range a.Ticks(2 * FontSize) {
		y := a.At(v)
		d.Line(x, y, right, y, "grid")
		d.Text(x-6, y+4, End, "tick", label(v))
	}
	d.Line(x, a.From, x, a.To, "axis")
}

// BottomAxis draws a horizontal axis with its grid, up to the top.
func (d *Drawing) BottomAxis(a Axis, y, top float64, label func(float64) string) {
	for _, v := range a.Ticks(3.6 * FontSize) {
		x := a.At(v)
		d.Line(x, y, x, top, "grid")
		d.Text(x, y+15, Middle, "tick", label(v))
	}
	d.Line(a.From, y, a.To, y, "axis")
}
