package command

import (
	"fmt"
	"io"
	"sync"
	"time"

	"chatbench/bench"
	"chatbench/bench/record"
)

// statusLine is one line on a terminal that is written again and again. Safe
// for any goroutine.
type statusLine struct {
	mu    sync.Mutex
	w     io.Writer
	shown bool // there is a terminal
	dirty bool
}

const clearLine = "\r\x1b[K"

func (l *statusLine) show(p bench.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := fmt.Sprintf("round %d", p.Round)
	if p.Rounds > 0 {
		what += fmt.Sprintf(" of %d", p.Rounds)
	}
	if p.Arm == record.NullArm {
		what = "certificate"
	}
	rate := ""
	if p.Rate > 0 {
		rate = fmt.Sprintf("  %.3g M deliveries/s", p.Rate/1e6)
	}
	fmt.Fprintf(l.w, "%s%s  %s  %s%s  %s left", clearLine, what, p.Arm, p.Load, rate, p.Left.Round(time.Second))
	l.dirty = true
}

// say shows something that is no round, if there is a terminal.
func (l *statusLine) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		io.WriteString(l.w, clearLine+text)
		l.dirty = true
	}
}

// clear takes the line away, if there is one.
func (l *statusLine) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirty {
		fmt.Fprint(l.w, clearLine)
		l.dirty = false
	}
}
