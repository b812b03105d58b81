package gnet

import (
	"context"
	"fmt"
	"log/slog"

	"chatbench/internal/loglimit"
)

// logger passes on what gnet logs, of errors a few lines a second: each of many
// connections may have one. Its news is of no interest to an operator.
type logger struct {
	to    *slog.Logger
	lines *loglimit.Limit
}

func (l logger) Debugf(format string, args ...any) { l.log(slog.LevelDebug, format, args) }
func (l logger) Infof(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l logger) Warnf(format string, args ...any)  { l.log(slog.LevelWarn, format, args) }
func (l logger) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }

// Fatalf does not end the process: that is for the server to decide.
func (l logger) Fatalf(format string, args ...any) { l.log(slog.LevelError, format, args) }

func (l logger) log(level slog.Level, format string, args []any) {
	switch {
	case !l.to.Enabled(context.Background(), level):
	case level < slog.LevelWarn:
		l.to.Log(context.Background(), level, fmt.Sprintf(format, args...), "backend", name)
	default:
		l.lines.Log(l.to, level, fmt.Sprintf(format, args...), "backend", name)
	}
}
