package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/internal/certtest"
)

var clientAddr = netip.MustParseAddrPort("192.0.2.1:4000")

// recordedConn is a connection that records writes and write deadlines.
type recordedConn struct {
	net.Conn
	writes atomic.Int64
	failed chan error // the first error of Write

	mu        sync.Mutex
	deadlines []time.Time // for writing
}

func recordConn(conn net.Conn) *recordedConn {
	return &recordedConn{Conn: conn, failed: make(chan error, 1)}
}

func (n *recordedConn) Write(p []byte) (int, error) {
	n.writes.Add(1)
	k, err := n.Conn.Write(p)
	if err != nil {
		select {
		case n.failed <- err:
		default:
		}
	}
	return k, err
}

func (n *recordedConn) SetWriteDeadline(t time.Time) error {
	n.mu.Lock()
	n.deadlines = append(n.deadlines, t)
	n.mu.Unlock()
	return n.Conn.SetWriteDeadline(t)
}

// carry carries a connection to a target until both have ended, or the test has.
func carry(t *testing.T, conn net.Conn) (*Carrier, carried) {
	t.Helper()
	g := newTarget(t)
	c := NewCarrier(g.Addr().(*net.TCPAddr).AddrPort(), secret, linger)
	done := make(chan error, 1)
	go func() { done <- c.Carry(conn, clientAddr) }()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		c.Shutdown(over)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, g.next(t)
}

// The write deadline applies only to octets of the transport, and not to what a connection
// later writes itself, such as an answer of TLS or of a WebSocket.
func TestDeadlineEndsWithTheWrite(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	conn := recordConn(ours)
	_, s := carry(t, conn)
	s.Write([]byte("x"))
	if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	await(t, "a deadline is set, and taken back", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		n := len(conn.deadlines)
		return n > 1 && !conn.deadlines[n-2].IsZero() && conn.deadlines[n-1].IsZero()
	})
}

// Shutdown also cuts the writing of TLS's close_notify, which takes up to 5 s if a client does
// not read.
func TestGoodbyeIsCut(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "chat.example")
	cert, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg := cert.TLS(tls.VersionTLS13)
	cfg.SessionTicketsDisabled = true // they would wait to be read
	ours, theirs := net.Pipe()
	defer theirs.Close()
	conn := recordConn(ours)
	secure, handshaken := tls.Server(conn, cfg), make(chan error)
	go func() { handshaken <- secure.Handshake() }()
	if err := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-handshaken; err != nil {
		t.Fatal(err)
	}
	before := conn.writes.Load()
	c, s := carry(t, secure)
	s.CloseWrite()
	await(t, "the server writes close_notify", func() bool { return conn.writes.Load() > before })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Shutdown(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown after a cut: %v, want context.Canceled", err)
	}
	if err := <-conn.failed; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("Shutdown waited for the timeout of close_notify")
	}
}

// The transport learns that a client is gone, even while it does not read from that client.
func TestGoneWhileNothingIsRead(t *testing.T) {
	f, g := start(t, Config{})
	c := dial(t, f)
	s := g.next(t)
	s.SetReadBuffer(8 << 10)
	chunk := make([]byte, 64<<10)
	for err := error(nil); err == nil; { // until all buffers are full
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		_, err = c.Write(chunk)
	}
	conn := c.NetConn().(*net.TCPConn)
	conn.SetLinger(0)
	conn.Close()
	await(t, "the transport is told", func() bool {
		_, err := s.Write([]byte("x"))
		return err != nil && f.cfg.Carrier.Open.Load() == 0
	})
}

// Clients cannot fill the log.
func TestLogIsBounded(t *testing.T) {
	log := new(bytes.Buffer)
	f, g := start(t, Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	g.Close()
	const clients = 40
	for range clients {
		dial(t, f)
	}
	await(t, "none could be carried", func() bool { return f.cfg.Carrier.NoTarget.Load() == clients })
	f.Shutdown()
	if n := bytes.Count(log.Bytes(), []byte("cannot be carried")); n == 0 || n >= clients {
		t.Errorf("%d lines for %d clients", n, clients)
	}
}
