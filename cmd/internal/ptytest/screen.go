package ptytest

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const (
	columns = 80 // until it is resized
	visible = 24 // rows
)

// screen is what a person would see on a terminal, and what has scrolled away. It knows
// only what line editors use; in unknown it notes a sequence that it does not know.
type screen struct {
	rows     [][]string // cells: a rune and what combines with it; "" right of a wide one
	row, col int
	narrow   int    // columns after a resize; 0 before
	rest     []byte // an incomplete rune or sequence at the end of the last write
	unknown  string
}

// width is the number of columns.
func (s *screen) width() int { return cmp.Or(s.narrow, columns) }

// resize wraps the rows that are now too long, as terminals do. It does not join them
// again when there is more room.
func (s *screen) resize(width int) {
	var rows [][]string
	at, col := s.row, s.col
	for i, row := range s.rows {
		if i == at {
			s.row, s.col = len(rows)+col/width, col%width
		}
		for len(row) > width {
			rows, row = append(rows, row[:width:width]), row[width:]
		}
		rows = append(rows, row)
	}
	s.rows, s.narrow = rows, width
}

func (s *screen) write(b []byte) {
	s.rest = append(s.rest, b...)
	for len(s.rest) > 0 {
		n := s.next(s.rest)
		if n == 0 {
			return
		}
		s.rest = s.rest[n:]
	}
}

// next takes one rune or sequence and returns its length, or 0 if it is incomplete.
func (s *screen) next(b []byte) int {
	switch c := b[0]; {
	case c == '\x1b':
		return s.sequence(b)
	case c == '\r':
		s.col = 0
	case c == '\n':
		s.row++
	case c == '\b':
		s.col = max(0, s.col-1)
	case c == '\a':
	case c < ' ':
		s.unknown = fmt.Sprintf("%q", c)
	default:
		if !utf8.FullRune(b) {
			return 0
		}
		r, n := utf8.DecodeRune(b)
		s.put(r)
		return n
	}
	return 1
}

// sequence takes an escape sequence and returns its length, or 0 if it is incomplete.
func (s *screen) sequence(b []byte) int {
	end := bytes.IndexFunc(b[1:], func(r rune) bool { return r >= '@' && r != '[' })
	if end < 0 {
		return 0
	}
	arg, final := strings.TrimPrefix(string(b[1:1+end]), "["), b[1+end]
	n, err := strconv.Atoi(arg)
	count := max(n, 1)
	switch {
	case b[1] != '[' || arg != "" && err != nil && final != 'm':
		s.unknown = fmt.Sprintf("%q", b[:end+2])
	case final == 'm':
	case final == 'A':
		s.row = max(s.row-count, len(s.rows)-visible, 0)
	case final == 'B':
		s.row = min(s.row+count, max(len(s.rows), visible)-1)
	case final == 'C':
		s.col = min(s.col+count, s.width()-1)
	case final == 'D':
		s.col = max(min(s.col, s.width()-1)-count, 0)
	case final == 'G':
		s.col = min(count, s.width()) - 1
	case (final == 'J' || final == 'K') && n == 0:
		s.grow()
		if line := s.rows[s.row]; s.col < len(line) {
			s.rows[s.row] = line[:s.col]
		}
		if final == 'J' {
			s.rows = s.rows[:s.row+1]
		}
	default:
		s.unknown = fmt.Sprintf("%q", b[:end+2])
	}
	return end + 2
}

func (s *screen) grow() {
	for s.row >= len(s.rows) {
		s.rows = append(s.rows, nil)
	}
}

// put shows a rune at the cursor. After the last column the cursor stays in its row until
// the next rune.
func (s *screen) put(r rune) {
	wide := cells(r)
	if wide > 0 && s.col+wide > s.width() {
		s.row, s.col = s.row+1, 0
	}
	s.grow()
	line := s.rows[s.row]
	for len(line) < s.col+wide {
		line = append(line, " ")
	}
	switch {
	case wide > 0:
		line[s.col] = string(r)
		if wide == 2 {
			line[s.col+1] = ""
		}
	case s.col > 0 && line[s.col-1] != "":
		line[s.col-1] += string(r)
	case s.col > 1:
		line[s.col-2] += string(r)
	}
	s.rows[s.row], s.col = line, s.col+wide
}

// cells is how many columns a rune takes.
func cells(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) || r >= 0x1160 && r <= 0x11ff {
		return 0 // it combines with the rune before, as vowels and finals of Hangul do
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// text gives all rows, without the blanks at their ends.
func (s *screen) text() []string {
	rows := make([]string, len(s.rows))
	for i, row := range s.rows {
		rows[i] = strings.TrimRight(strings.Join(row, ""), " ")
	}
	return rows
}
