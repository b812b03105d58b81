package server

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond bounds the lines of one limitedLog.
const linesPerSecond = 10

// limitedLog writes lines of one kind that clients can cause at will. It writes at
// most linesPerSecond of them in a second, and then one that says how many more
// there were: unlike a loglimit.Limit also when no other line follows. Any
// goroutine may call it.
type limitedLog struct {
	log  *slog.Logger
	text string

	mu    sync.Mutex
	since time.Time // when the second began
	lines int       // in it
}

func newLimitedLog(log *slog.Logger, text string) *limitedLog {
	return &limitedLog{log: log, text: text}
}

// info writes a line, or counts it.
func (l *limitedLog) info(now time.Time, args ...any) {
	l.mu.Lock()
	left := 0
	if d := now.Sub(l.since); d < 0 || d >= time.Second {
		left = l.leftOut()
		l.since = now
	}
	l.lines++
	write := l.lines <= linesPerSecond
	l.mu.Unlock()
	l.sayMore(left)
	if write {
		l.log.Info(l.text, args...)
	}
}

// tick says how many lines were left out once their second is over. Call it
// several times a second.
func (l *limitedLog) tick(now time.Time) {
	l.mu.Lock()
	left := 0
	if now.Sub(l.since) >= time.Second {
		left = l.leftOut()
	}
	l.mu.Unlock()
	l.sayMore(left)
}

// flush says what was left out so far.
func (l *limitedLog) flush() {
	l.mu.Lock()
	left := l.leftOut()
	l.mu.Unlock()
	l.sayMore(left)
}

// leftOut ends the second: it forgets its lines, and says how many were not
// written. The caller holds mu.
func (l *limitedLog) leftOut() int {
	n := max(l.lines-linesPerSecond, 0)
	l.lines = 0
	return n
}

func (l *limitedLog) sayMore(n int) {
	if n > 0 {
		l.log.Info(fmt.Sprintf("%d more like that in the last second", n), "line", l.text)
	}
}
