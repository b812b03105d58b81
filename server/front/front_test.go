package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/internal/tcp"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// Octets reach the transport unchanged, with the client's address, and the client likewise.
// The FIN of each side is passed on.
func TestCarries(t *testing.T) {
	f, g := start(t, Config{})
	c := dial(t, f)
	if got := c.ConnectionState(); got.NegotiatedProtocol != wire.Protocol || got.Version != tls.VersionTLS13 {
		t.Errorf("protocol %q, version %x", got.NegotiatedProtocol, got.Version)
	}
	checkCarries(t, f, g, c)
}

// checkCarries: octets reach the transport unchanged, with the client's address, and the client
// likewise; FIN is passed on both ways.
func checkCarries(t *testing.T, f *Front, g *target, c interface {
	net.Conn
	CloseWrite() error
}) {
	t.Helper()
	s := g.next(t)
	if s.client.String() != c.LocalAddr().String() {
		t.Errorf("the transport is told %s, the client is %s", s.client, c.LocalAddr())
	}
	up, down := random(1<<20+7), random(1<<21+3)
	var sides sync.WaitGroup
	sides.Go(func() { c.Write(up); c.CloseWrite() })
	sides.Go(func() { s.Write(down) })
	sides.Go(func() {
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, up) {
			t.Errorf("the transport got %d octets, %v; want %d", len(got), err, len(up))
		}
		s.Write([]byte("after the FIN"))
		s.CloseWrite()
	})
	got, err := io.ReadAll(c)
	sides.Wait()
	if want := append(down, "after the FIN"...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the client got %d octets, %v; want %d", len(got), err, len(want))
	}
	c.Close()
	await(t, "the connection ends", func() bool { return f.cfg.Carrier.Open.Load() == 0 })
}

// The server's FIN reaches a client that goes on sending, for which it then has Linger.
func TestServerEndsFirst(t *testing.T) {
	f, g := start(t, Config{})
	c := dial(t, f)
	s := g.next(t)
	s.Write([]byte("goodbye"))
	s.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "goodbye" {
		t.Fatalf("the client got %q, %v", got, err)
	}
	await(t, "one that does not say FIN is cut", func() bool { return f.cfg.Carrier.Open.Load() == 0 })
}

// If a client is gone without a FIN, the transport sees an error, not an end.
func TestReset(t *testing.T) {
	f, g := start(t, Config{})
	c := dial(t, f)
	s := g.next(t)
	c.Write([]byte("hello"))
	io.ReadFull(s, make([]byte, 5))
	c.NetConn().(*net.TCPConn).SetLinger(0)
	c.NetConn().Close()
	s.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the transport is told %v", err)
	}
}

// Handshakes that are not finished time out, and are counted. Then others have their slots.
func TestHandshakesAreBounded(t *testing.T) {
	f, g := start(t, Config{MaxHandshakes: 2, HandshakeTimeout: 300 * time.Millisecond})
	for range 2 {
		c := dialPlaintext(t, f, "127.0.0.1", "")
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that has sent nothing gets an octet, or may stay: %v", err)
		}
	}
	await(t, "both are counted", func() bool { return f.TimedOut.Load() == 2 && f.Handshakes.Load() == 0 })
	await(t, "another client is served", func() bool { // on a busy machine a handshake may take too long
		return tls.Client(dialPlaintext(t, f, "127.0.0.1", ""), &tls.Config{InsecureSkipVerify: true}).Handshake() == nil
	})
	g.next(t)
}

// The header of a trusted proxy names the client. From other addresses a header is a failed
// handshake.
func TestTrustedProxy(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	f, g := start(t, Config{Trusted: trusted, HandshakeTimeout: time.Hour})
	const line = "PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n"
	for i, pieces := range [][]string{{line}, {line[:10], line[10:]}} {
		c := dialPlaintext(t, f, "127.0.0.2", pieces[0])
		for _, p := range pieces[1:] {
			time.Sleep(10 * time.Millisecond)
			c.Write([]byte(p))
		}
		if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
			t.Fatal(i, err)
		}
		if s := g.next(t); s.client.String() != "203.0.113.9:51000" {
			t.Errorf("the transport is told %s", s.client)
		}
	}
	dialPlaintext(t, f, "127.0.0.2", "GET / HTTP/1.0\r\n\r\n")
	dialPlaintext(t, f, "127.0.0.1", line)
	await(t, "both are counted", func() bool {
		return f.BadHeader.Load() == 1 && f.BadTLS.Load() == 1 && f.Handshakes.Load() == 0
	})
	f, _ = start(t, Config{Trusted: trusted, HandshakeTimeout: 50 * time.Millisecond})
	dialPlaintext(t, f, "127.0.0.2", "")
	await(t, "a header that does not come is counted", func() bool { return f.BadHeader.Load() == 1 })
}

// Output for a client that does not read is bounded, so that the transport finds it slow.
func TestStoppedReader(t *testing.T) {
	l, err := tcp.Listen("127.0.0.1:0", tcp.Options{SendBuffer: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	f, g := start(t, Config{Listener: l})
	c := dial(t, f)
	c.NetConn().(*net.TCPConn).SetReadBuffer(8 << 10)
	s := g.next(t)
	s.SetWriteBuffer(64 << 10)
	took, chunk := 0, make([]byte, 64<<10)
	for range 1000 {
		s.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := s.Write(chunk)
		took += n
		if err != nil {
			break
		}
	}
	if took > 1<<20 {
		t.Errorf("%d KiB were buffered for a client that does not read", took>>10)
	}
	t.Logf("%d KiB", took>>10)
}

// Shutdown waits for connections that are carried, and the carrier cuts them when its context
// ends. Handshakes are cut at once.
func TestShutdown(t *testing.T) {
	f, g := start(t, Config{HandshakeTimeout: time.Hour})
	c := dial(t, f)
	s := g.next(t)
	silent, err := net.Dial("tcp", f.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	await(t, "a handshake", func() bool { return f.Handshakes.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	over, cut := make(chan struct{}), make(chan error)
	go func() {
		defer close(over)
		f.Shutdown()
	}()
	await(t, "nobody else may come", func() bool {
		other, err := net.Dial("tcp", f.addr())
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	silent.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a handshake was not cut: %v", err)
	}
	s.Write([]byte("still here"))
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
		t.Fatal("Shutdown did not wait")
	default:
	}
	go func() { cut <- f.cfg.Carrier.Shutdown(ctx) }()
	cancel()
	if err := <-cut; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown after a cut: %v, want context.Canceled", err)
	}
	<-over
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the client was not cut")
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	if err := f.cfg.Carrier.Carry(ours, netip.MustParseAddrPort("192.0.2.1:1")); err != nil || f.cfg.Carrier.NoTarget.Load() != 0 {
		t.Errorf("a connection after Shutdown: %v", err)
	}
}

// The login of a client without TLS is denied in the chat protocol. Connections with another
// protocol are closed without an answer.
func TestPlainClient(t *testing.T) {
	f, _ := start(t, Config{})
	for first, want := range map[string]string{
		"\x01alice secret\x00":              "\x01denied " + wire.NeedsTLS + "\x00\x03\x00",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n": "",
	} {
		c, err := net.Dial("tcp", f.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		c.Write([]byte(first))
		if got, _ := io.ReadAll(c); string(got) != want {
			t.Errorf("%q is answered %q, want %q", first, got, want)
		}
	}
	await(t, "both are counted", func() bool { return f.BadTLS.Load() == 2 })
}
