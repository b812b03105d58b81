package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"chatbench/bench/stats"
)

// sharing explains the letters.
const sharing = "Arms that share a letter cannot be told apart."

const (
	nameMost = 16  // columns of a name, if the terminal has fewer than roomy
	saysMin  = 20  // columns that the last column needs to stand beside two loads
	roomy    = 120 // columns that intervals need
)

// rankings writes the rankings of all loads, two of them next to each other if
// there is room.
func (s *Summary) rankings(w io.Writer, style Style) {
	var shown []*LoadSummary
	for i := range s.Loads {
		if s.Loads[i].Ranking != nil {
			shown = append(shown, &s.Loads[i])
		}
	}
	for len(shown) > 0 {
		n := 1
		if len(shown) > 1 && shown[0].Ranking.Figure == shown[1].Ranking.Figure && newRanks(shown[:2], style).room >= saysMin {
			n = 2
		}
		newRanks(shown[:n], style).write(w)
		shown = shown[n:]
	}
}

// ranks is a table of the rankings of loads next to one another, in the order
// of the first.
type ranks struct {
	loads  []*LoadSummary
	style  Style
	name   int // columns of the names
	names  map[string]string
	groups []string // what stands over each load
	cells  [][]ranksCell
	widths []ranksCell // of the cells, by spaces
	room   int         // columns that are left for what is said of an arm
}

// ranksCell is an arm under a load.
type ranksCell struct{ value, ratio, letters string }

func newRanks(loads []*LoadSummary, style Style) *ranks {
	t := &ranks{loads: loads, style: style}
	names := nameMost
	if style.width() >= roomy {
		names = 24
	}
	var arms []string
	for _, row := range loads[0].Ranking.Rows {
		arms = append(arms, row.Arm)
		t.name = max(t.name, min(columns(row.Arm), names))
	}
	t.names = cutDistinct(arms, t.name)
	used := 4 + t.name
	for _, l := range loads {
		var cells []ranksCell
		var widest ranksCell
		for _, first := range loads[0].Ranking.Rows {
			c := l.Ranking.of(first.Arm).cell(style.width() >= roomy)
			cells = append(cells, c)
			widest.value, widest.ratio, widest.letters = wider(widest.value, c.value), wider(widest.ratio, c.ratio), wider(widest.letters, c.letters)
		}
		head := strings.TrimPrefix(l.short(), "at ")
		if short := columns(head) - columns(widest.value+widest.ratio+widest.letters) - 2; short > 0 {
			widest.letters += strings.Repeat(" ", short)
		}
		t.groups, t.cells, t.widths = append(t.groups, head), append(t.cells, cells), append(t.widths, widest)
		used += 2 + columns(widest.value+widest.ratio+widest.letters) + 2
	}
	t.room = style.width() - used - 2
	return t
}

// of returns the row of an arm.
func (r *Ranking) of(arm string) RankRow {
	for _, row := range r.Rows {
		if row.Arm == arm {
			return row
		}
	}
	return RankRow{Arm: arm, Text: "–"}
}

func (row RankRow) cell(intervals bool) ranksCell {
	return ranksCell{row.Text, row.ToBest.text(row.AtMost, intervals), compact(row.Letters)}
}

// text formats a ratio to the best: "×1.25", with its interval "×1.25 (1.15–1.36)", as
// an upper bound "≤×1.25".
func (r *Ratio) text(atMost, interval bool) string {
	if r == nil {
		return ""
	}
	text := "×" + digits(r.Ratio)
	if atMost {
		text = "≤" + text
	}
	if interval && r.Low > 0 {
		text += fmt.Sprintf(" (%s–%s)", digits(r.Low), digits(r.High))
	}
	return text
}

// compact abbreviates letters that follow one another by the first and the last:
// "a–d" for "abcd".
func compact(letters string) string {
	n := len(letters)
	if n < 4 || int(letters[n-1]-letters[0]) != n-1 {
		return letters
	}
	return letters[:1] + "–" + letters[n-1:]
}

func (t *ranks) write(w io.Writer) {
	r := t.loads[0].Ranking
	fmt.Fprintln(w)
	fmt.Fprintln(w, t.style.paint(bold, cut(fmt.Sprintf("%s, %s, the least first", r.Title, r.Unit), t.style.width())))
	head := "    " + padRight("", t.name)
	for i, group := range t.groups {
		c := t.widths[i]
		head += "  " + padRight(group, columns(c.value+c.ratio+c.letters)+2)
	}
	fmt.Fprintln(w, t.style.paint(faint, strings.TrimRight(head, " ")))
	for k, row := range r.Rows {
		rank := "  –"
		if row.Rank > 0 {
			rank = fmt.Sprintf("%3d", row.Rank)
		}
		line := rank + " " + t.colour(row.Letters, padRight(t.names[row.Arm], t.name))
		for i := range t.loads {
			c, widest := t.cells[i][k], t.widths[i]
			cell := padLeft(c.value, columns(widest.value)) + " " + padLeft(c.ratio, columns(widest.ratio)) + " " + padRight(c.letters, columns(widest.letters))
			line += "  " + t.colour(t.loads[i].Ranking.of(row.Arm).Letters, cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line+"  "+t.remarks(row.Arm), " "))
	}
	notes := []string{"× the least. " + sharing}
	for i, l := range t.loads {
		if note := l.Ranking.Note; note != "" {
			notes = append(notes, t.groups[i]+": "+note+".")
		}
	}
	for _, note := range notes {
		for line := range strings.SplitSeq(wrapped(note, t.style.width()-4, 0), "\n") {
			fmt.Fprintln(w, "    "+t.style.paint(faint, line))
		}
	}
}

// colour gives all arms that begin with the same letter the same colour.
func (t *ranks) colour(letters, text string) string {
	if letters == "" {
		return text
	}
	return t.style.paint(colours[int(letters[0]-'a')%len(colours)], text)
}

// remarks is what is said about an arm in addition to figures, load by load, as much
// of it as there is room for. Remarks on the second load alone begin with its name.
func (t *ranks) remarks(arm string) string {
	said := ""
	for i, l := range t.loads {
		for k, text := range l.Ranking.of(arm).remarks() {
			if i > 0 && strings.Contains(said, text) {
				continue
			}
			if i > 0 && k == 0 {
				text = t.groups[i] + ": " + text
			}
			if said == "" {
				said = cut(text, max(t.room, 0))
			} else if said += "; " + text; columns(said) > t.room {
				return strings.TrimSuffix(said, "; "+text)
			}
		}
	}
	return said
}

// remarks returns the parts of the reason, and then the note.
func (row RankRow) remarks() (parts []string) {
	if row.Why != "" {
		parts = strings.Split(row.Why, ", ")
	}
	if row.Note != "" {
		parts = append(parts, row.Note)
	}
	return parts
}

// sentence is the ranking in a sentence.
func (l *LoadSummary) sentence() string {
	r, place := l.Ranking, capital(l.short())
	n := slices.IndexFunc(append(slices.Clone(r.Rows), RankRow{}), func(row RankRow) bool { return row.Rank == 0 })
	if n < 2 {
		return fmt.Sprintf("%s: nothing can be compared: %s.", place, enumerate(notes(r.Rows[n:])))
	}
	first := r.Rows[0]
	var like, full []string
	var more []RankRow
	for _, row := range r.Rows[:n] {
		switch {
		case row.AtMost:
			full = append(full, row.Arm)
		case row.Arm == first.Arm:
		case stats.Share(row.Letters, first.Letters):
			like = append(like, row.Arm)
		default:
			more = append(more, row)
		}
	}
	if first.AtMost {
		return fmt.Sprintf("%s: who has the least %s is not known; of %s only an upper bound is.", place, r.Title, enumerate(full))
	}
	text := fmt.Sprintf("%s: %s has the least %s, %s %s", place, first.Arm, r.Title, first.Text, r.Unit)
	switch {
	case r.Note != "":
		return text + ". " + r.Note + "."
	case len(like) > 0:
		text += fmt.Sprintf("; %s cannot be told apart from it", enumerate(like))
	}
	if len(more) > 0 {
		text += "; " + r.costlier(more)
	}
	if len(full) > 0 {
		text += fmt.Sprintf("; of %s only an upper bound is known", enumerate(full))
	}
	return text + "."
}

// notes lists the arms of rows, each with its note.
func notes(rows []RankRow) (said []string) {
	for _, row := range rows {
		said = append(said, fmt.Sprintf("%s (%s)", row.Arm, row.Note))
	}
	return said
}

// costlier says which arms certainly have more than the first, and which has the most:
// "gnet and evio are dearer for sure, evio the most, 1.70 times as much".
func (r *Ranking) costlier(more []RankRow) string {
	const few = 3
	word := find(r.Figure).words[1]
	most := slices.MaxFunc(more, func(a, b RankRow) int { return cmp.Compare(a.ToBest.Ratio, b.ToBest.Ratio) })
	times := digits(most.ToBest.Ratio) + " times as much"
	if len(more) == 1 {
		return fmt.Sprintf("%s is %s for sure, %s", most.Arm, word, times)
	}
	var names []string
	for _, row := range more {
		names = append(names, row.Arm)
	}
	who := enumerate(names)
	if len(more) > few {
		who = fmt.Sprintf("%d others", len(more))
	}
	return fmt.Sprintf("%s are %s for sure, %s the most, %s", who, word, most.Arm, times)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// enumerate formats a list: "a", "a and b", "a, b and c".
func enumerate(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return names[0]
}
