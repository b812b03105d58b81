package gnet

import (
	"context"
	"fmt"
	"log/slog"

	"chatbench/internal/loglimit"
)

// logger passes on what gnet logs: errors, a few lines a second, since every connection may
// cause one, and the rest at debug level.
type logger struct {
	to       *slog.Logger
	logLimit *loglimit.Limit
}

func (l logger) Debugf(format string, args ...any) { l.log(slog.LevelDebug, format, args) }
func (l logger) Infof(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l logger) Warnf(format string, args ...any)  { l.log(slog.LevelWarn, format, args) }
func (l logger) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }

// Fatalf logs an error and does not end the process, which a library must not do.
func (l logger) Fatalf(format string, args ...any) { l.log(slog.LevelError, format, args) }

func (l logger) log(level slog.Level, format string, args []any) {
	switch {
	case !l.to.Enabled(context.Background(), level):
	case level < slog.LevelWarn:
		l.to.Log(context.Background(), level, fmt.Sprintf(format, args...), "backend", name)
	default:
		l.logLimit.Log(l.to, level, fmt.Sprintf(format, args...), "backend", name)
	}
}
