package netpoll

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	lib "github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"chatbench/backends/internal/guest"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// longAgo is the write deadline of every connection. With a deadline that has
// passed, Flush writes what it can, leaves the rest to the poller, and returns
// ErrWriteTimeout at once where it would otherwise block until the client has
// taken everything.
var longAgo = time.Unix(1, 0)

// lineKey finds the line of a connection in the context of its requests.
type lineKey struct{}

var _ guest.Line = (*line)(nil)

// line is one connection. Its methods run on the poller's goroutine, except
// closed, which runs on any.
type line struct {
	host   *host
	conn   lib.Connection
	client *guest.Client
	kept   int // octets in the library's buffer

	// Guards the library's buffers and the descriptor against closed.
	mu    sync.Mutex
	dead  bool
	known bool        // why it ends
	why   core.Reason // if known
}

// onRequest feeds the session all that the poller has read.
func onRequest(ctx context.Context, conn lib.Connection) error {
	defer crash()
	l := ctx.Value(lineKey{}).(*line)
	r := conn.Reader()
	l.look() // while what the socket knows is still there
	for n := r.Len(); n > 0; n = r.Len() {
		p, err := r.Next(n)
		if err != nil {
			return err
		}
		l.client.Feed(p)
	}
	return r.Release()
}

// Send implements guest.Line. From 4 KiB on the library does not copy p.
func (l *line) Send(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return 0, net.ErrClosed
	}
	if _, err := l.conn.Writer().WriteBinary(p); err != nil {
		return 0, err
	}
	l.kept = len(p)
	return l.flush()
}

// Sent implements guest.Line. Flushing again writes what is left: the poller
// does not write meanwhile, for this is its goroutine.
func (l *line) Sent() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return 0, net.ErrClosed
	}
	return l.flush()
}

// flush tells all that is kept or nothing: how much of it the kernel took the
// library does not say.
func (l *line) flush() (int, error) {
	switch err := l.conn.Writer().Flush(); {
	case err == nil:
		n := l.kept
		l.kept = 0
		return n, nil
	case errors.Is(err, lib.ErrWriteTimeout):
		return 0, nil
	default:
		if errors.Is(err, unix.EPIPE) { // not reset without a FIN before
			l.end(core.ReasonEOF)
		}
		return 0, err
	}
}

// Finish implements guest.Line. The library cannot close one direction.
func (l *line) Finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		_ = unix.Shutdown(l.fd(), unix.SHUT_WR)
	}
}

func (l *line) fd() int { return l.conn.(lib.Conn).Fd() }

// Close implements guest.Line.
func (l *line) Close() { _ = l.conn.Close() }

// closed is called by the library when the connection has ended, before it
// closes the descriptor.
func (l *line) closed(lib.Connection) error {
	l.look()
	l.mu.Lock()
	l.dead = true
	l.end(core.ReasonReset)
	why := l.why
	l.mu.Unlock()
	l.client.Ended(why)
	return nil
}

// look finds out whether the client has ended the connection, and how. The
// library tells a FIN and a reset alike, but the socket knows: one that was
// reset is in no state any more, and the error left on it is another if a FIN
// had come before.
func (l *line) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch socket.PeerEnding(l.fd()) {
	case socket.Finished:
		l.end(core.ReasonEOF)
	case socket.Reset:
		l.end(core.ReasonReset)
	}
}

// end notes why the connection ends. The first reason stands.
func (l *line) end(why core.Reason) {
	if !l.known {
		l.known, l.why = true, why
	}
}
