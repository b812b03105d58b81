package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
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
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range t {
		line := " "
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line += " "
			}
			if i < left {
				line += " " + cell + pad
			} else {
				line += " " + pad + cell
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
