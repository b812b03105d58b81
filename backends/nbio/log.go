package nbio

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/lesismal/nbio/logging"
)

// The library's logger is one for the process, and its own writes to standard
// output, which is for data.
func init() { logging.SetLogger(&logged) }

// logged takes what the library logs to the log of the server started last.
var logged logger

type logger struct{ to atomic.Pointer[slog.Logger] }

func setLog(l *slog.Logger) { logged.to.Store(l) }

func (l *logger) say(level func(*slog.Logger, string, ...any), format string, args []any) {
	if to := l.to.Load(); to != nil {
		level(to, "nbio", "says", fmt.Sprintf(format, args...))
	}
}

func (l *logger) Debug(format string, args ...any) { l.say((*slog.Logger).Debug, format, args) }
func (l *logger) Info(format string, args ...any)  { l.say((*slog.Logger).Debug, format, args) }
func (l *logger) Warn(format string, args ...any)  { l.say((*slog.Logger).Warn, format, args) }
func (l *logger) Error(format string, args ...any) { l.say((*slog.Logger).Error, format, args) }
