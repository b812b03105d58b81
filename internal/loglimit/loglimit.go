// Package loglimit logs what may happen at any rate, at a rate that a log can
// bear: what a client can cause with each connection must not fill a disk.
//
// It refuses to keep what it does not log: how many lines that were is said in
// the next one. A Limit is for any goroutine.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Of one kind there are at most perWindow lines in a window.
const (
	window    = 2 * time.Second
	perWindow = 4
)

// Limit bounds the lines of one kind, or of several that belong together. The
// zero Limit is ready for use.
type Limit struct {
	mu      sync.Mutex
	until   time.Time // when the window ends
	lines   int       // in it
	skipped int       // since the last line
}

// Warn logs at slog.LevelWarn, if there may be a line now.
func (l *Limit) Warn(log *slog.Logger, msg string, args ...any) {
	l.Log(log, slog.LevelWarn, msg, args...)
}

// Error logs at slog.LevelError, if there may be a line now.
func (l *Limit) Error(log *slog.Logger, msg string, args ...any) {
	l.Log(log, slog.LevelError, msg, args...)
}

// Log logs at a level, if there may be a line now.
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
