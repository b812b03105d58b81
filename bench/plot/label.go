package plot

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Width estimates how many pixels a text takes in the font size of a drawing. It errs on the
// large side, because fonts differ.
func Width(text string) float64 {
	em := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("iljtfI.,:;'|()[] ", r):
			em += 0.36
		case strings.ContainsRune("mwMW@%–—", r):
			em += 0.95
		case r >= 'A' && r <= 'Z':
			em += 0.72
		default:
			em += 0.6
		}
	}
	return em * FontSize
}

// Fit cuts a text to so many pixels, with an ellipsis in the middle: long names
// of arms have the same beginning, and differ at their end.
func Fit(text string, width float64) string {
	if Width(text) <= width {
		return text
	}
	runes := []rune(text)
	for keep := len(runes) - 1; keep > 1; keep-- {
		head := (keep + 1) / 2
		if cut := string(runes[:head]) + "…" + string(runes[len(runes)-keep+head:]); Width(cut) <= width {
			return cut
		}
	}
	return "…"
}

// Spread moves labels from their wanted places so that no two are closer than gap
// and all are between low and high, as near to the wanted places as
// possible. If there is not enough room they are closer.
func Spread(wanted []float64, gap, low, high float64) []float64 {
	n := len(wanted)
	if n == 0 {
		return nil
	}
	gap = math.Min(gap, (high-low)/math.Max(float64(n-1), 1))
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })
	// After its share of the gaps is subtracted each label wants a place, and
	// the places must not decrease: labels that would are one block, at their mean.
	type block struct {
		sum float64
		n   int
	}
	var blocks []block
	for i, at := range order {
		blocks = append(blocks, block{wanted[at] - gap*float64(i), 1})
		for k := len(blocks) - 1; k > 0 && blocks[k].sum/float64(blocks[k].n) < blocks[k-1].sum/float64(blocks[k-1].n); k-- {
			blocks[k-1].sum, blocks[k-1].n = blocks[k-1].sum+blocks[k].sum, blocks[k-1].n+blocks[k].n
			blocks = blocks[:k]
		}
	}
	places, i := make([]float64, n), 0
	for _, b := range blocks {
		mean := math.Min(math.Max(b.sum/float64(b.n), low), high-gap*float64(n-1))
		for range b.n {
			places[order[i]] = mean + gap*float64(i)
			i++
		}
	}
	return places
}

// Styles is how many lines can be distinguished: colours times dashes.
const (
	colours = 7
	dashes  = 3
	Styles  = colours * dashes
)

// Style returns the class of a line by its place, from 0: a colour, c0 to c6, and a
// dash, d0 to d2. Neighbours differ in colour.
func Style(place int) string {
	return "c" + strconv.Itoa(place%colours) + " d" + strconv.Itoa(place/colours%dashes)
}

// The styles of the reference and of its A/A arm.
const (
	Reference = "ref"
	Again     = "ref again"
)
