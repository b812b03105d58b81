package nbio

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/lesismal/nbio/logging"

	"chatbench/internal/loglimit"
)

// The library has one logger for the process. By default it writes to standard output.
func init() { logging.SetLogger(&logged) }

// logged passes what the library logs to the log of the server that was started last.
var logged logger

type logger struct {
	to       atomic.Pointer[slog.Logger]
	logLimit loglimit.Limit // for errors: every connection may cause one
}

func setLog(l *slog.Logger) { logged.to.Store(l) }

func (l *logger) say(level slog.Level, format string, args []any) {
	switch to := l.to.Load(); {
	case to == nil || !to.Enabled(context.Background(), level):
	case level < slog.LevelWarn:
		to.Log(context.Background(), level, "nbio", "says", fmt.Sprintf(format, args...))
	default:
		l.logLimit.Log(to, level, "nbio", "says", fmt.Sprintf(format, args...))
	}
}

func (l *logger) Debug(format string, args ...any) { l.say(slog.LevelDebug, format, args) }
func (l *logger) Info(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l *logger) Warn(format string, args ...any)  { l.say(slog.LevelWarn, format, args) }
func (l *logger) Error(format string, args ...any) { l.say(slog.LevelError, format, args) }
