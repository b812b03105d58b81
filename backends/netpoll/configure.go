package netpoll

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	lib "github.com/cloudwego/netpoll"
)

// The library is configured once for the process, and before its first use.
func init() {
	err := lib.Configure(lib.Config{
		PollerNum:    1, // the goroutine to which a guest belongs
		BufferSize:   4 << 10,
		Runner:       inPlace,
		LoggerOutput: &logged,
	})
	if err != nil {
		panic("netpoll: " + err.Error())
	}
}

// inPlace runs onRequest on the poller's goroutine. With the library's own
// pool of goroutines the poller would read on while a request is worked on,
// into a buffer without bounds.
//
// What follows from it: onRequest must not block, and a connection must not be
// closed while its onRequest runs, or the poller waits for itself for ever.
// Only turns close connections, and a turn is no request.
func inPlace(_ context.Context, request func()) { request() }

// crash ends the process when a request panics: the library would catch that
// to close the connection, and so wait for itself.
func crash() {
	if reason := recover(); reason != nil {
		stack := debug.Stack()
		go func() { panic(fmt.Sprintf("%v\n\nfrom\n%s", reason, stack)) }()
		select {}
	}
}

// logged takes what the library logs to the log of the server started last.
var logged logWriter

type logWriter struct{ to atomic.Pointer[slog.Logger] }

func setLog(l *slog.Logger) { logged.to.Store(l) }

// Write notes a line at the level of debugging: the library has one for every
// connection that is reset.
func (w *logWriter) Write(line []byte) (int, error) {
	if l := w.to.Load(); l != nil {
		l.Debug("netpoll", "says", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}
