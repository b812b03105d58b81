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

// goneClient is a client that has sent something and is gone: writes to it fail.
type goneClient struct {
	net.Conn
	sent io.Reader
	done chan struct{} // closed when all was read
}

func (c goneClient) Read(p []byte) (int, error) {
	n, err := c.sent.Read(p)
	if err != nil {
		close(c.done)
	}
	return n, err
}

func (c goneClient) Write([]byte) (int, error) { return 0, errors.New("gone") }

func newGoneClient(t *testing.T, sent io.Reader) goneClient {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	return goneClient{ours, sent, make(chan struct{})}
}

// carryFor is carry with another linger. The channel is closed when the connection has ended.
func carryFor(t *testing.T, conn net.Conn, linger time.Duration) (carried, <-chan struct{}) {
	t.Helper()
	g := newTarget(t)
	c, ended := NewCarrier(g.Addr().(*net.TCPAddr).AddrPort(), secret, linger), make(chan struct{})
	go func() { c.Carry(conn, clientAddr); close(ended) }()
	t.Cleanup(func() { c.cut(); <-ended })
	return g.next(t), ended
}

// All that a client has sent reaches the transport, even if the client is gone and octets of the
// transport are unread: closing the connection early would reset it, and discard octets.
func TestLastWordsBesideWhatIsUnread(t *testing.T) {
	words := random(300 << 10) // more than the transport's receive buffer takes
	conn := newGoneClient(t, bytes.NewReader(words))
	s, _ := carryFor(t, conn, time.Minute)
	s.SetReadBuffer(8 << 10)
	s.Write(make([]byte, 32<<10)) // the first octets find that the client is gone, the others are not read
	var got []byte
	for all := false; !all; {
		select {
		case <-conn.done:
			all = true
		case <-time.After(200 * time.Millisecond): // the send buffer takes less than all the rest
			part := make([]byte, 32<<10)
			n, err := s.Read(part)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, part[:n]...)
		}
	}
	time.Sleep(50 * time.Millisecond) // so that the connection would be closed too early, if it were
	rest, err := io.ReadAll(s)
	if got = append(got, rest...); err != nil || len(rest) == 0 || !bytes.Equal(got, words) {
		t.Errorf("the transport got %d octets of %d, of them at last %d, and then %v", len(got), len(words), len(rest), err)
	}
}

// endless returns octets without end, until its read deadline.
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

// A client that goes on sending after the transport has sent FIN and has stopped reading is cut
// after the linger: nothing else would end the connection.
func TestTalksOnAfterTheEnd(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s, ended := carryFor(t, &endless{Conn: ours}, linger)
	s.SetReadBuffer(8 << 10)
	s.CloseWrite()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the connection has not ended")
	}
}

// What a transport has not taken is not waited for when it has reset the connection.
func TestWaitEndsWithAReset(t *testing.T) {
	g := listen(t)
	conn, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	conn.Write(make([]byte, 16<<20)) // more than both kernels take
	s.(*net.TCPConn).SetLinger(0)
	s.Close()
	const most = time.Minute
	began := time.Now()
	NewCarrier(g.Addr().(*net.TCPAddr).AddrPort(), secret, most).waitDelivered(conn.(*net.TCPConn), began.Add(most))
	if took := time.Since(began); took > most/2 {
		t.Errorf("it took %v", took)
	}
}
