// Package live shows a run while it is measured: on a terminal a table that is redrawn
// in place, with the count of void rounds above it and a progress line
// below; elsewhere one line for each look at which arms may be decided, and one
// before it that counts the void rounds since the last look.
//
// It judges nothing: what it shows, the bench has computed between two
// rounds. It changes nothing of the terminal but the text, so there is nothing to
// restore after Clear. All methods may be called from any goroutine.
package live

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"chatbench/bench"
)

// Terminal is what the writer of a View can display.
type Terminal struct {
	Moves bool                       // it is a terminal whose cursor can be moved
	Color bool                       // bold and faint
	Size  func() (columns, rows int) // asked before each drawing; nil, or 0: 80 and 24
}

// View shows a run on a writer.
type View struct {
	mu     sync.Mutex
	w      io.Writer
	term   Terminal
	look   *bench.Look
	status string
	drawn  []int          // columns of each row that is drawn
	width  int            // of the terminal when they were drawn
	seen   map[string]int // by load and arm, the rounds at the last look that was shown
	void   voids          // of the whole run; without a table, since the last line
}

// New makes a View that shows nothing yet.
func New(w io.Writer, term Terminal) *View {
	return &View{w: w, term: term, seen: make(map[string]int)}
}

// margin is the columns at the end of a row that are left free: the terminal
// shows ^C behind the last row, and a full row would make it wrap.
const margin = 3

func (v *View) size() (columns, rows int) {
	if v.term.Size != nil {
		columns, rows = v.term.Size()
	}
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	return max(columns, 10), rows
}

// Progress shows how far the run is.
func (v *View) Progress(p bench.Progress) {
	what := fmt.Sprintf("round %d", p.Round)
	if p.Round == 0 {
		what = "before the first round"
	} else if p.Rounds > 0 {
		what += fmt.Sprintf(" of %d", p.Rounds)
	}
	rate := ""
	if p.Rate > 0 {
		rate = fmt.Sprintf("  %.3g M deliveries/s", p.Rate/1e6)
	}
	v.Say(fmt.Sprintf("%s  %s  %s%s  %s left", what, p.Arm, p.Load, rate, p.Left.Round(time.Second)))
}

// Say shows another text in the last row; only on a terminal.
func (v *View) Say(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.term.Moves {
		return
	}
	v.status = text
	width, _ := v.size()
	if len(v.drawn) == 0 || width != v.width {
		v.draw()
		return
	}
	text = clip(text, width-margin)
	v.drawn[len(v.drawn)-1] = utf8.RuneCountInString(text)
	fmt.Fprint(v.w, "\r\x1b[K"+text)
}

// Look shows the state of the arms.
func (v *View) Look(l bench.Look) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.term.Moves {
		v.look = &l
		v.draw()
	} else if text := v.line(l); text != "" {
		v.voidLine()
		fmt.Fprintln(v.w, text)
	}
}

// voidLine writes how many rounds were void since the last voidLine.
func (v *View) voidLine() {
	if text := v.void.line(); text != "" {
		fmt.Fprintln(v.w, text)
	}
}

// LeftOut reports a backend that is not measured, although all were asked for.
func (v *View) LeftOut(b bench.Backend) {
	v.print(fmt.Sprintf("backend %s is left out, it cannot run on this machine: %s", b.Name, b.Unavailable))
}

// print writes a line that stays; on a terminal above the table.
func (v *View) print(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	fmt.Fprintln(v.w, text)
	if v.term.Moves && (v.status != "" || v.look != nil) {
		v.draw()
	}
}

// Clear removes what was drawn, and forgets it. If nothing is drawn it writes
// how many rounds were void since the last look.
func (v *View) Clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	if !v.term.Moves {
		v.voidLine()
	}
	v.look, v.status, v.void = nil, "", voids{}
	clear(v.seen)
}

// erase moves the cursor to where the first row began. If the terminal has become
// narrower it has wrapped the rows since.
func (v *View) erase() {
	if len(v.drawn) > 0 {
		fmt.Fprint(v.w, v.erasure())
	}
	v.drawn = nil
}

func (v *View) erasure() string {
	if len(v.drawn) == 0 {
		return ""
	}
	width, _ := v.size()
	up := -1
	for _, columns := range v.drawn {
		up += max(1, (columns+width-1)/width)
	}
	if up > 0 {
		return fmt.Sprintf("\r\x1b[%dA\x1b[J", up)
	}
	return "\r\x1b[J"
}

// draw replaces what is drawn, in one write.
func (v *View) draw() {
	out := v.erasure()
	width, height := v.size()
	var rows []row
	if v.look != nil {
		if v.void.rounds > 0 {
			rows = append(rows, row{style: faint, text: v.void.head()})
		}
		rows = append(rows, table(*v.look, width-margin, max(height-2-len(rows), 0))...)
	}
	rows = append(rows, row{text: v.status})
	v.drawn, v.width = nil, width
	for i, r := range rows {
		text := clip(r.text, width-margin)
		v.drawn = append(v.drawn, utf8.RuneCountInString(text))
		if v.term.Color && r.style != "" && text != "" {
			text = r.style + text + reset
		}
		if i > 0 {
			out += "\n"
		}
		out += text
	}
	fmt.Fprint(v.w, out)
}

// clip cuts what does not fit, and shows that it did.
func clip(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns-1]) + "…"
}

// line is a look as one line; "": no arm has come to a look since the last one.
func (v *View) line(l bench.Look) string {
	var decided, open []string
	come := 0
	for _, load := range l.Loads {
		for _, a := range load.Arms {
			name := a.Name + " under " + load.Load
			if a.Again {
				continue
			}
			if v.seen[name] < a.Rounds && slices.Contains(l.Looks, a.Rounds) {
				come = max(come, a.Rounds)
				if a.Decided {
					decided = append(decided, name+" ("+figures(load, a)+")")
				}
			}
			v.seen[name] = a.Rounds
			if !a.Decided {
				open = append(open, name)
			}
		}
	}
	if come == 0 {
		return ""
	}
	still := "open " + listed(open)
	if len(open) > maxNames {
		still = fmt.Sprintf("%d open", len(open))
	}
	text := fmt.Sprintf("bench: look after %d rounds: decided %s; %s", come, listed(decided), still)
	if len(open) > 0 {
		text += fmt.Sprintf("; %v left at most", l.Left.Round(time.Second))
	}
	return text
}

func listed(all []string) string {
	if all == nil {
		return "none"
	}
	return strings.Join(all, ", ")
}
