package front

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// talker is a client that takes nothing: it says something, and its end comes behind it.
type talker struct {
	net.Conn
	says io.Reader
	done chan struct{} // closed when all is said
}

func (c talker) Read(p []byte) (int, error) {
	n, err := c.says.Read(p)
	if err != nil {
		close(c.done)
	}
	return n, err
}

func (c talker) Write([]byte) (int, error) { return 0, errors.New("gone") }

func newTalker(t *testing.T, says io.Reader) talker {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	return talker{ours, says, make(chan struct{})}
}

// carryFor is carry with a linger of its own. The channel is closed when the connection has ended.
func carryFor(t *testing.T, conn net.Conn, linger time.Duration) (carried, <-chan struct{}) {
	t.Helper()
	g := newTarget(t)
	c, ended := NewCarrier(g.Addr().(*net.TCPAddr).AddrPort(), secret, linger), make(chan struct{})
	go func() { c.Carry(conn, somebody); close(ended) }()
	t.Cleanup(func() { c.cut(); <-ended })
	return g.next(t), ended
}

// What a client has said comes to the transport, though the client is gone and what it was
// sent is unread: closing the connection then would reset it, and destroy what is on its way.
func TestLastWordsBesideWhatIsUnread(t *testing.T) {
	words := random(300 << 10) // more than the kernel takes for a transport that does not read
	conn := newTalker(t, bytes.NewReader(words))
	s, _ := carryFor(t, conn, time.Minute)
	s.SetReadBuffer(8 << 10)
	s.Write(make([]byte, 32<<10)) // the first of it finds that the client is gone, the rest is not read
	<-conn.done
	time.Sleep(50 * time.Millisecond) // so that closing too early has the time to do harm
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, words) {
		t.Errorf("the transport got %d octets of %d, and then %v", len(got), len(words), err)
	}
}

// endless says something until its deadline.
type endless struct {
	net.Conn
	over atomic.Bool
}

func (e *endless) SetReadDeadline(t time.Time) error {
	time.AfterFunc(time.Until(t), func() { e.over.Store(true) })
	return nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.over.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

// A client that talks on when the transport has said FIN, and reads nothing, is given up
// after the linger: nobody else ends the connection.
func TestTalksOnAfterTheEnd(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s, ended := carryFor(t, &endless{Conn: ours}, linger)
	s.SetReadBuffer(8 << 10)
	s.CloseWrite()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it is carried on")
	}
}
