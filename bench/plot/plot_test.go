package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestWellFormed: whatever a text is, the drawing is XML and the text does not become markup.
func TestWellFormed(t *testing.T) {
	const evil = `"><script>&x`
	d := New(100, 50, evil)
	d.Group("a", evil)
	d.Text(1, 2, Start, "tick", evil)
	d.Name(1, 2, 30, End, "tick", evil)
	d.Rect(0, 0, -1, 5, "band", evil)
	d.Dot(1, 1, 3, "dot", evil)
	d.Cross(1, 1, 3, "void", evil)
	d.Arrow(1, 1, -6, "dot", evil)
	d.Path([][2]float64{{0, 0}, {1, 1}, {2, 5}}, "line")
	d.Area([][2]float64{{0, 0}, {1, 1}}, [][2]float64{{0, 3}, {1, 4}}, "band", evil)
	text := string(d.SVG())
	if strings.Contains(text, "<script") {
		t.Errorf("a text became markup: %s", text)
	}
	dec := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		a    Axis
		gap  float64
		want []float64
	}{
		{Axis{0, 10, 0, 100, false}, 20, []float64{0, 2, 4, 6, 8, 10}},
		{Axis{0, 10, 100, 0, false}, 20, []float64{0, 2, 4, 6, 8, 10}},
		{Axis{0.93, 1.07, 0, 100, false}, 30, []float64{0.95, 1, 1.05}},
		{Axis{1, 1000, 0, 300, true}, 30, []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}},
		{Axis{1, 1000, 0, 90, true}, 30, []float64{1, 10, 100, 1000}},
		{Axis{1, 1e6, 0, 90, true}, 30, []float64{1, 100, 1e4, 1e6}},
		{Axis{0.5, 4, 0, 150, true}, 30, []float64{0.5, 1, 2, 5}[:3]},
	} {
		got := c.a.Ticks(c.gap)
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("%+v, gap %g: %v, want %v", c.a, c.gap, got, c.want)
		}
	}
}

func TestAxis(t *testing.T) {
	a := Axis{Low: 0.1, High: 10, From: 100, To: 300, Log: true}
	for v, want := range map[float64]float64{0.1: 100, 1: 200, 10: 300, 0: 100, 1e9: 300} {
		if got := a.At(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%g is at %g, want %g", v, got, want)
		}
	}
	if a.Holds(0.01) || !a.Holds(5) {
		t.Error("what an axis holds is wrong")
	}
}

// TestSpread: labels do not overlap, stay inside and in order, and a single
// label stays where it was wanted.
func TestSpread(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		wanted := make([]float64, 1+source.IntN(20))
		for i := range wanted {
			wanted[i] = 300 * source.Float64() * source.Float64()
		}
		places := Spread(wanted, 12, 0, 300)
		order := slices.Clone(places)
		slices.Sort(order)
		for i, p := range order {
			if p < -1e-9 || p > 300+1e-9 || i > 0 && p-order[i-1] < 12-1e-9 {
				t.Fatalf("wanted %v, placed %v", wanted, places)
			}
		}
		for i := range wanted {
			for k := range wanted {
				if wanted[i] < wanted[k] && places[i] > places[k] {
					t.Fatalf("changed sides: wanted %v, placed %v", wanted, places)
				}
			}
		}
	}
	if got := Spread([]float64{100, 20, 21}, 12, 0, 300); got[0] != 100 || got[1] != 14.5 || got[2] != 26.5 {
		t.Errorf("placed %v", got)
	}
	if got := Spread([]float64{5, 5, 5}, 12, 0, 10); !slices.Equal(got, []float64{0, 5, 10}) {
		t.Errorf("where there is no room: %v", got)
	}
}

func TestFit(t *testing.T) {
	if Fit("epoll", 100) != "epoll" {
		t.Error("a short name is cut")
	}
	if cut := Fit("process@spawn-ahead=64", 60); !strings.HasPrefix(cut, "proc") || !strings.HasSuffix(cut, "=64") || Width(cut) > 60 || Width(cut) < 45 {
		t.Errorf("%q takes %g", cut, Width(cut))
	}
}

// TestStyles: no two places share a style before Styles are used up.
func TestStyles(t *testing.T) {
	seen := make(map[string]int)
	for i := range Styles {
		seen[Style(i)]++
	}
	if len(seen) != Styles || Style(0) != Style(Styles) {
		t.Errorf("%d styles of %d", len(seen), Styles)
	}
}

// TestSimplify: points on a line are left out, bends stay.
func TestSimplify(t *testing.T) {
	if got := simplify([][2]float64{{0, 0}, {1, 1}, {2, 2}, {3, 0}, {4, 0}, {5, 0}}); len(got) != 4 {
		t.Errorf("kept %v", got)
	}
}
