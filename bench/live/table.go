package live

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"chatbench/bench"
	"chatbench/bench/report"
)

const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

// row is a row of the table, in one style.
type row struct {
	style string
	text  string
	cells []string
	done  bool // an arm that is decided: left out first if there is no room
}

// form is how long the text in a cell is: the longest form that fits is used.
type form struct {
	center bool // the ratio, and not its interval alone
	long   bool // words in full
}

var forms = []form{{true, true}, {true, false}, {false, false}}

// table returns a look as rows that fit, as far as possible.
func table(l bench.Look, columns, rows int) []row {
	var all []row
	for _, f := range forms {
		if all = aligned(l, f); !slices.ContainsFunc(all, func(r row) bool { return utf8.RuneCountInString(r.text) > columns }) {
			break
		}
	}
	return shortened(all, rows)
}

// aligned returns all rows in one form.
func aligned(l bench.Look, f form) []row {
	var all []row
	for i, load := range l.Loads {
		head := row{style: faint, cells: []string{load.Load}}
		for _, title := range load.Titles {
			if !f.long {
				title, _, _ = strings.Cut(title, " ")
			}
			head.cells = append(head.cells, title)
		}
		switch {
		case i > 0:
		case f.long:
			head.cells = append(head.cells, "against "+load.Reference)
		default:
			head.cells = append(head.cells, "to "+load.Reference)
		}
		all = append(all, head)
		for _, a := range load.Arms {
			r := row{cells: []string{a.Name}, done: a.Decided}
			for _, figure := range a.Figures {
				r.cells = append(r.cells, f.cell(figure))
			}
			r.cells = append(r.cells, f.state(a))
			switch {
			case a.Again:
				r.style = faint
			case a.Decided:
				r.style = bold
			}
			all = append(all, r)
		}
	}
	var widths []int
	for _, r := range all {
		for i, cell := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n := range all {
		r := &all[n]
		for i, cell := range r.cells {
			r.text += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		r.text = strings.TrimRight(r.text, " ")
	}
	return all
}

// cell is a figure and the word for its verdict.
func (f form) cell(s report.FigureStanding) string {
	text := s.Ratio
	switch {
	case s.Interval == "":
	case f.center:
		text += " (" + s.Interval + ")"
	default:
		text = s.Interval
	}
	return strings.TrimSpace(text + " " + s.Word)
}

// state says how far an arm is.
func (f form) state(a report.ArmStanding) string {
	switch {
	case a.Again:
		return ""
	case a.Decided && f.long:
		return fmt.Sprintf("decided after %d", a.Rounds)
	case a.Decided:
		return fmt.Sprintf("after %d", a.Rounds)
	}
	text := fmt.Sprintf("%d rounds", a.Rounds)
	if a.Rounds == 1 {
		text = "1 round"
	}
	return text
}

// shortened leaves out arms that are decided, the last first, then further rows
// until the rest fits, and says how many rows it left out.
func shortened(all []row, rows int) []row {
	if len(all) <= rows {
		return all
	}
	whole := len(all)
	for i := len(all) - 1; i >= 0 && len(all) >= rows; i-- {
		if all[i].done {
			all = slices.Delete(all, i, i+1)
		}
	}
	all = all[:min(len(all), max(rows-1, 0))]
	if rows < 1 {
		return all
	}
	return append(all, row{style: faint, text: fmt.Sprintf("… %d more rows", whole-len(all))})
}

// figures is the result of an arm for a line.
func figures(load report.Standing, a report.ArmStanding) string {
	var parts []string
	for i, f := range a.Figures {
		parts = append(parts, load.Titles[i]+" "+forms[0].cell(f))
	}
	return strings.Join(parts, ", ")
}
