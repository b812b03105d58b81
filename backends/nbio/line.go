package nbio

import (
	"net"
	"sync/atomic"

	lib "github.com/lesismal/nbio"
	"golang.org/x/sys/unix"

	"chatbench/backends/internal/guest"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// line is one connection. Its methods run on the poller's goroutine.
type line struct {
	host    *host
	conn    *lib.Conn
	fd      int // the connection's, good while it is not closed
	client  *guest.Client
	taken   int           // octets that the kernel took since they were last counted
	sending bool          // within Send
	why     atomic.Uint32 // 1 + the Reason for which nothing more can be read
}

// read feeds the session what the client has sent, to the end of it or until
// the buffer was filled once; nothing while some of it waits to be fed. After a
// FIN or an error there is no such bound: the library closes the connection when
// this returns, whatever is unread.
func (l *line) read(buf []byte) {
	if l.client.Waits() && !l.ended() {
		return // it is readable in the next turn as well
	}
	for total := 0; total < len(buf) || l.ended(); {
		n, err := l.conn.Read(buf)
		switch {
		case n > 0:
			total += n
			l.client.Feed(buf[:n])
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		default: // EOF, or an error, which is said only once and looks like EOF afterwards
			if err == nil {
				l.end(core.ReasonEOF)
			} else {
				l.end(core.ReasonReset)
			}
			return
		}
	}
}

// end notes why nothing more can be read. The first reason stands.
func (l *line) end(why core.Reason) { l.why.CompareAndSwap(0, 1+uint32(why)) }

// ended says whether the client has sent all it will.
func (l *line) ended() bool {
	if closed, _ := l.conn.IsClosed(); closed {
		return true
	}
	return socket.PeerHasLeft(l.fd)
}

// Send implements guest.Line. A Write that fails closes the connection at
// once, with what the client sent before still unread: so a connection that is
// broken is read to its end, and not written to.
func (l *line) Send(p []byte) (int, error) {
	if err := l.broken(); err != nil {
		return 0, err
	}
	l.sending = true
	_, err := l.conn.Write(p)
	l.sending = false
	n, _ := l.Sent()
	return n, err
}

func (l *line) broken() error {
	if closed, _ := l.conn.IsClosed(); closed {
		return net.ErrClosed
	}
	errno, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if errno == 0 || err != nil {
		return err
	}
	if unix.Errno(errno) != unix.EPIPE { // which says that a FIN came before
		l.end(core.ReasonReset)
	}
	l.read(l.host.last)
	return unix.Errno(errno)
}

// Sent implements guest.Line.
func (l *line) Sent() (int, error) {
	n := l.taken
	l.taken = 0
	return n, nil
}

// onWritten counts what the kernel took, of a Write or of what was kept.
func onWritten(c *lib.Conn, _ []byte, n int) {
	l, ok := c.Session().(*line)
	if !ok {
		return
	}
	l.taken += n
	if !l.sending {
		l.client.Progress()
	}
}

// Finish implements guest.Line. The library cannot close one direction.
func (l *line) Finish() {
	if closed, _ := l.conn.IsClosed(); !closed {
		_ = unix.Shutdown(l.fd, unix.SHUT_WR)
	}
}

// Close implements guest.Line.
func (l *line) Close() { _ = l.conn.Close() }

// onClose is called by the library on a goroutine of its own, some time after
// it has closed the descriptor.
func onClose(c *lib.Conn, _ error) {
	l, ok := c.Session().(*line)
	if !ok {
		return
	}
	if why := l.why.Load(); why != 0 {
		l.client.Ended(core.Reason(why - 1))
		return
	}
	l.client.Ended(core.ReasonReset)
}

var _ guest.Line = (*line)(nil)
