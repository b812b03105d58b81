// Package loglimit limits the rate of log lines that clients can cause, so that they cannot
// fill a disk.
//
// It does not keep the lines beyond the limit: the next line says how many there were. A
// Limit may be used from any goroutine.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Limit logs at most perWindow lines in a window.
const (
	window    = 2 * time.Second
	perWindow = 4
)

// Limit limits the lines of one kind, or of several that belong together. The zero Limit is
// ready for use.
type Limit struct {
	mu      sync.Mutex
	until   time.Time // when the window ends
	lines   int       // lines in the window, those skipped included
	skipped int       // lines skipped since the last logged one
}

// Warn logs at slog.LevelWarn, within the limit.
func (l *Limit) Warn(log *slog.Logger, msg string, args ...any) {
	l.Log(log, slog.LevelWarn, msg, args...)
}

// Error logs at slog.LevelError, within the limit.
func (l *Limit) Error(log *slog.Logger, msg string, args ...any) {
	l.Log(log, slog.LevelError, msg, args...)
}

// Log logs at a level, within the limit.
func (l *Limit) Log(log *slog.Logger, level slog.Level, msg string, args ...any) {
	l.log(time.Now(), log, level, msg, args)
}

func (l *Limit) log(now time.Time, log *slog.Logger, level slog.Level, msg string, args []any) {
	l.mu.Lock()
	if !now.Before(l.until) {
		l.until, l.lines = now.Add(window), 0
	}
	l.lines++
	skip, skipped := l.lines > perWindow, l.skipped
	if skip {
		l.skipped++
	} else {
		l.skipped = 0
	}
	l.mu.Unlock()
	if skip {
		return
	}
	if skipped > 0 {
		args = append(args, "not_logged", skipped)
	}
	log.Log(context.Background(), level, msg, args...)
}
