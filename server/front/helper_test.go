package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatbench/core/proxyproto"
	"chatbench/core/wire"
	"chatbench/internal/certtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// linger is how long clients of tests may take to send FIN.
const linger = 300 * time.Millisecond

var secret = bytes.Repeat([]byte{9}, 32)

// target is a fake transport: it reads the header of each connection, and passes both to
// the test.
type target struct {
	*net.TCPListener
	came chan carried
}

type carried struct {
	*prefixedConn
	client netip.AddrPort
	err    error
}

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newTarget(t testing.TB) *target {
	g := &target{listen(t), make(chan carried, 16)}
	policy := &proxyproto.Policy{Secret: secret, SecretOnly: true}
	go func() {
		for {
			c, err := g.AcceptTCP()
			if err != nil {
				return
			}
			rest, client, err := readPreface(c, policy.Preface(c.RemoteAddr().(*net.TCPAddr).AddrPort()).Take)
			g.came <- carried{&prefixedConn{c, rest}, client, err}
		}
	}()
	return g
}

func (g *target) next(t testing.TB) carried {
	t.Helper()
	select {
	case c := <-g.came:
		t.Cleanup(func() { c.Close() })
		if c.err != nil {
			t.Fatal(c.err)
		}
		return c
	case <-time.After(30 * time.Second):
		t.Fatal("no connection reaches the transport")
		panic("unreachable")
	}
}

// start runs a front with TLS and its target, until the end of the test.
func start(t testing.TB, cfg Config) (*Front, *target) {
	t.Helper()
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "chat.example")
	cert, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS = cert.TLS(tls.VersionTLS13)
	return startAs(t, cfg)
}

// startAs runs a front with TLS if cfg has TLS.
func startAs(t testing.TB, cfg Config) (*Front, *target) {
	t.Helper()
	g := newTarget(t)
	if cfg.Listener == nil {
		cfg.Listener = listen(t)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Carrier = NewCarrier(g.Addr().(*net.TCPAddr).AddrPort(), secret, linger)
	f := New(cfg)
	served := make(chan struct{})
	go func() { f.Serve(); close(served) }()
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		f.cfg.Carrier.Shutdown(over)
		f.Shutdown()
		<-served
	})
	return f, g
}

func (f *Front) addr() string { return f.cfg.Listener.Addr().String() }

// dial connects with TLS.
func dial(t testing.TB, f *Front) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", f.addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.Protocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 30_000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("timed out waiting until %s", what)
}
