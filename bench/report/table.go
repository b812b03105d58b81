package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// table is rows of cells; the first two rows are its head.
type table [][]string

// write aligns the first columns to the left and the others to the right.
func (t table) write(w io.Writer, left int, style Style) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for n, row := range t {
		line := " "
		for i, cell := range row {
			if i > 0 {
				line += " "
			}
			if i < left {
				line += " " + fill(cell, widths[i])
			} else {
				line += " " + before(cell, widths[i])
			}
		}
		line = strings.TrimRight(line, " ")
		if n == 1 && line == "" {
			continue // a head of one row
		}
		if n < 2 {
			line = style.paint(faint, line)
		}
		fmt.Fprintln(w, line)
	}
}

// columns is how many columns of a terminal a text takes.
func columns(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to so many columns, the last of them "…".
func cut(text string, most int) string {
	if columns(text) <= most {
		return text
	}
	n := 0
	for i, r := range text {
		if n += columnsOf(r); n > most-1 {
			return strings.TrimRight(text[:i], " ") + "…"
		}
	}
	return text
}

// fill puts spaces behind a text, up to so many columns.
func fill(text string, to int) string { return text + strings.Repeat(" ", max(0, to-columns(text))) }

// before puts them before it.
func before(text string, to int) string { return strings.Repeat(" ", max(0, to-columns(text))) + text }

// wider is that of two texts which takes more columns.
func wider(a, b string) string {
	if columns(b) > columns(a) {
		return b
	}
	return a
}

// cutAlike shortens names to so many columns. Where two would be the same then, all that
// are too long lose their middle, as what tells variants of a server apart comes last.
func cutAlike(names []string, most int) map[string]string {
	short, taken := make(map[string]string), make(map[string]bool)
	alike := false
	for _, name := range names {
		s := cut(name, most)
		alike = alike || taken[s]
		short[name], taken[s] = s, true
	}
	for _, name := range names {
		if r := []rune(name); alike && short[name] != name && columns(name) == len(r) {
			short[name] = string(r[:most/2]) + "…" + string(r[len(r)-(most-1-most/2):])
		}
	}
	return short
}
