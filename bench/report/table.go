package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// table is rows of cells; the first two rows are the heading.
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
				line += " " + padRight(cell, widths[i])
			} else {
				line += " " + padLeft(cell, widths[i])
			}
		}
		line = strings.TrimRight(line, " ")
		if n == 1 && line == "" {
			continue // a heading of one row
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

// cut shortens a text to that many columns, the last of them "…".
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

// padRight adds spaces after a text, up to that many columns.
func padRight(text string, to int) string {
	return text + strings.Repeat(" ", max(0, to-columns(text)))
}

// padLeft adds them before it.
func padLeft(text string, to int) string { return strings.Repeat(" ", max(0, to-columns(text))) + text }

// wider returns the text that takes more columns.
func wider(a, b string) string {
	if columns(b) > columns(a) {
		return b
	}
	return a
}

// cutDistinct shortens names to that many columns. If two would become the same, all names that
// are too long lose their middle, because variants of a server differ at the end of the name.
func cutDistinct(names []string, most int) map[string]string {
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
	clear(taken)
	for i, name := range names {
		if number := strconv.Itoa(i + 1); taken[short[name]] {
			short[name] = cut(name, most-len(number)) + number
		}
		taken[short[name]] = true
	}
	return short
}
