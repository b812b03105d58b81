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

// The library is configured once for the process, before its first use.
func init() {
	err := lib.Configure(lib.Config{
		PollerNum:    1, // an adapter belongs to one goroutine
		BufferSize:   4 << 10,
		Runner:       inPlace,
		LoggerOutput: &logged,
	})
	if err != nil {
		panic("netpoll: " + err.Error())
	}
}

// inPlace runs onRequest on the poller's goroutine. With the library's own pool of
// goroutines the poller would go on reading while a request is handled, into an unbounded
// buffer.
//
// As a consequence onRequest must not block, and a connection must not be closed while its
// onRequest runs: the poller would wait for itself for ever. Only turns close connections,
// and a turn is not a request.
func inPlace(_ context.Context, request func()) { request() }

// crash ends the process when a request panics. The library would recover, close the
// connection, and so wait for itself.
func crash() {
	if reason := recover(); reason != nil {
		stack := debug.Stack()
		go func() { panic(fmt.Sprintf("%v\n\nfrom\n%s", reason, stack)) }()
		select {}
	}
}

// logged passes what the library logs to the log of the server that was started last.
var logged logWriter

type logWriter struct{ to atomic.Pointer[slog.Logger] }

func setLog(l *slog.Logger) { logged.to.Store(l) }

// Write logs a line at debug level: the library writes one for every connection that is
// reset.
func (w *logWriter) Write(line []byte) (int, error) {
	if l := w.to.Load(); l != nil {
		l.Debug("netpoll", "says", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}
