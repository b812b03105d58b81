package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"chatbench/core/wire"
	"chatbench/internal/certtest"
)

// serveTLS is serve with TLS. The handshake may fail.
func serveTLS(t *testing.T, certFile, keyFile string, least uint16, script func(*fake)) (addr string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: least, NextProtos: []string{wire.Protocol}}
	return serve(t, func(f *fake) {
		conn := tls.Server(f.conn, cfg)
		if conn.Handshake() != nil {
			return
		}
		f.conn = conn
		script(f)
		conn.Close()
	})
}

// trust is a configuration that trusts one certificate.
func trust(t *testing.T, certFile string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

// A conversation by TLS, to its orderly end. The protocol's name is negotiated.
func TestConversationByTLS(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	addr := serveTLS(t, certFile, keyFile, tls.VersionTLS13, func(f *fake) {
		if got := f.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != wire.Protocol {
			t.Errorf("the protocol is %q", got)
		}
		f.grant()
		f.write([]byte("\x00bob: hi\x00"))
		f.want([]byte("\x00hello\x00"))
		f.want([]byte("\x03\x00"))
	})
	c, err := Dial(t.Context(), Config{Server: addr, User: "alice", Password: "pass word", TLS: trust(t, certFile)})
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, c); e != (Said{"bob", "hi"}) {
		t.Errorf("event %v", e)
	}
	if !c.LocalAddr().IsLoopback() {
		t.Errorf("we are at %v", c.LocalAddr())
	}
	if err := c.Say("hello"); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := c.Err(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// For each way in which a certificate can be wrong the error says what to do, and the
// password is not sent.
func TestServersNotTrusted(t *testing.T) {
	good, goodKey := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	named, namedKey := certtest.Write(t, t.TempDir(), time.Hour, "chat.example")
	expired, expiredKey := certtest.Write(t, t.TempDir(), -time.Hour, "127.0.0.1")
	never := func(f *fake) {
		if n, _ := f.conn.Read(make([]byte, 100)); n > 0 {
			t.Error("the client says something")
		}
	}
	for _, c := range []struct {
		name      string
		cert, key string
		trusts    *tls.Config
		want      string
	}{
		{"unknown", good, goodKey, &tls.Config{RootCAs: x509.NewCertPool()}, "-ca FILE"},
		{"of another name", named, namedKey, trust(t, named), `not for "127.0.0.1": connect by the name in it, or give that name with -tls-server-name`},
		{"expired", expired, expiredKey, trust(t, expired), "expired on " + time.Now().Add(-time.Hour).UTC().Format(time.DateOnly)},
	} {
		addr := serveTLS(t, c.cert, c.key, tls.VersionTLS13, never)
		_, err := Dial(t.Context(), Config{Server: addr, User: "alice", Password: "x", TLS: c.trusts})
		if !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// If one side does not use TLS, or not the same version, the error says so.
func TestTLSOnOneSide(t *testing.T) {
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	cfg := trust(t, certFile)
	cfg.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]struct {
		addr string
		tls  *tls.Config
		want string
	}{
		"a plain server": {serve(t, func(f *fake) {
			f.conn.Read(make([]byte, 2000))
			f.write([]byte("\x00server: unknown frame type\x00\x03\x00"))
		}), &tls.Config{}, "does not speak TLS: leave -tls out"},
		"one that hangs up": {serve(t, func(f *fake) { f.conn.Read(make([]byte, 2000)) }), &tls.Config{}, "hung up in the middle of the handshake"},
		"another version":   {serveTLS(t, certFile, keyFile, tls.VersionTLS13, func(*fake) {}), cfg, "another version of TLS"},
		"an alert": {serve(t, func(f *fake) {
			f.conn.Read(make([]byte, 2000))
			f.write([]byte{0x15, 3, 1, 0, 2, 2, 70})
		}), nil, "it speaks TLS: add -tls"},
	} {
		_, err := Dial(t.Context(), Config{Server: c.addr, User: "alice", Password: "x", TLS: c.tls})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A handshake ends when the context ends.
func TestHandshakeContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := serve(t, func(f *fake) {
		f.conn.Read(make([]byte, 2000))
		cancel()
		f.conn.Read(make([]byte, 1))
	})
	_, err := Dial(ctx, Config{Server: addr, User: "alice", Password: "x", TLS: &tls.Config{}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
}

// WrongPassword recognizes chatd's denial for a wrong password, and no other denial.
func TestWrongPassword(t *testing.T) {
	for reason, want := range map[string]bool{
		"wrong name or password": true, "Wrong name or password.": true,
		"too many wrong passwords, wait a minute": false, "name is taken": false, "server is full": false,
		"a user name, a space and a password are needed": false,
	} {
		if got := (&DeniedError{reason}).WrongPassword(); got != want {
			t.Errorf("%q: %v", reason, got)
		}
	}
}
