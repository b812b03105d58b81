package loadgen

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
	"chatbench/internal/certtest"
	"chatbench/loadgen/ledger"
	"chatbench/loadgen/message"
)

// identity is a certificate for 127.0.0.1 in a server's configuration, and a client's
// configuration that trusts it.
func identity(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	certFile, keyFile := certtest.Write(t, t.TempDir(), time.Hour, "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{wire.Protocol}}, &tls.Config{RootCAs: pool}
}

// trickle is a listener whose connections write octet by octet, for about as long as a handshake
// takes.
type trickle struct{ net.Listener }

func (l trickle) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &trickling{Conn: c}, err
}

type trickling struct {
	net.Conn
	sent int
}

func (c *trickling) Write(p []byte) (n int, err error) {
	for c.sent < 4000 && n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n : n+1])
		n, c.sent = n+k, c.sent+k
	}
	if n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n:])
		n += k
	}
	return n, err
}

// Every load works the same with TLS: everything is delivered, completely and in order, and the result
// says what was negotiated.
func TestLoadsByTLS(t *testing.T) {
	server, client := identity(t)
	sampledPair(t, true)
	for name, cfg := range map[string]Config{
		"open":         {Clients: 20, Senders: 7, Rate: 2000, Size: 33},
		"closed":       {Clients: 10, Senders: 10, Window: 3},
		"large":        {Clients: 3, Senders: 2, Window: 500, Size: 4001},
		"relay":        {Scenario: Relay, Pairs: 5, Downloads: 4, Rate: 1000, ChatRate: 200},
		"relay closed": {Scenario: Relay, Pairs: 5, Downloads: 4, Window: 16},
		"idle":         {Scenario: Idle, Clients: 30, Ramp: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRoom(t, 1, func(r *room) { r.Listener = tls.NewListener(trickle{r.Listener}, server) })
			cfg.Server, cfg.TLS, cfg.Seed = s.Addr().String(), client, 5
			cfg.Warmup, cfg.Duration, cfg.Drain, cfg.Connect, cfg.Objective = 50*time.Millisecond, 200*time.Millisecond, longDrain, longDrain, 5*time.Second
			served := runUntilDelivered
			if cfg.Scenario == Idle {
				cfg.Warmup, served = 0, func(t *testing.T, cfg *Config) *Result { return run(t, *cfg) }
			}
			r := served(t, &cfg)
			if !r.Ledger.Clean() || r.Void() || r.Messages.Unsent != 0 || r.Login.Count != int64(r.Clients) {
				t.Errorf("%d unsent, %d logins, %v, %+v", r.Messages.Unsent, r.Login.Count, r.Violations, r.Ledger)
			}
			if cfg.Scenario == "" && (r.Messages.InAll == 0 || r.Deliveries.InAll != r.Messages.InAll*uint64(r.Clients)) {
				t.Errorf("%d deliveries of %d messages to %d", r.Deliveries.InAll, r.Messages.InAll, r.Clients)
			}
			if cfg.Scenario != Idle && r.Generator.Queue.Count == 0 {
				t.Error("no receive queue was sampled")
			}
			if r.TLS == nil || r.TLS.Version != "TLS 1.3" || !strings.HasPrefix(r.TLS.CipherSuite, "TLS_") || r.TLS.KeyExchange == "" {
				t.Errorf("agreed on %+v", r.TLS)
			}
		})
	}
	if r := run(t, Config{Server: startNull(t), Clients: 2, Rate: 500, Duration: 50 * time.Millisecond}); r.TLS != nil {
		t.Errorf("without TLS: %+v", r.TLS)
	}
}

// Lost messages and a closed connection are found with TLS too.
func TestFaultsByTLS(t *testing.T) {
	server, client := identity(t)
	cfg := Config{TLS: client, Clients: 40, Senders: 5, Rate: 10_000, Duration: 200 * time.Millisecond, Drain: longDrain}
	s := newRoom(t, 1, func(r *room) {
		r.Listener = tls.NewListener(r.Listener, server)
		r.script, r.messages, r.damage = message.Script{Size: 64}, 400, "drop"
	})
	cfg.Server = s.Addr().String()
	if r := run(t, cfg); r.Ledger != (ledger.Tally{Lost: s.damages()}) || s.damages() == 0 || !r.Void() {
		t.Errorf("%d damaged, %+v", s.damages(), r.Ledger)
	}
	s = newRoom(t, 1, func(r *room) { r.Listener, r.cutAt = tls.NewListener(r.Listener, server), 100 })
	cfg.Server, cfg.Rate, cfg.Duration = s.Addr().String(), 1000, 5*time.Second
	_, err := Run(context.Background(), cfg)
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), `saying "you are too slow"`) {
		t.Errorf("%v", err)
	}
}

// At the end of a slice nothing is left in TLS: neither input
// that was not decrypted, nor output that the kernel has not taken.
func TestSlicesByTLS(t *testing.T) {
	server, client := identity(t)
	for name, cfg := range map[string]Config{
		"open":   {Clients: 5, Senders: 2, Rate: 1000},
		"closed": {Clients: 5, Senders: 2, Window: 64, Size: 1000},
		"relay":  {Scenario: Relay, Pairs: 2, Rate: 1000, ChatRate: 200, Senders: 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Warmup, cfg.Duration, cfg.Drain, cfg.Seed, cfg.TLS = 10*time.Millisecond, 30*time.Millisecond, longDrain, 1, client
			set := func(r *room) { r.Listener = tls.NewListener(r.Listener, server) }
			fleets := newStage(t, cfg, newRoom(t, 1, set), newRoom(t, 2, set))
			for turn := range 6 {
				f := fleets[turn%2]
				r, e, err := f.Slice()
				if err != nil {
					t.Fatal(err)
				}
				if !r.Ledger.Clean() || e.Missing != 0 || e.Deliveries == 0 || r.TLS == nil {
					t.Errorf("slice %d: %+v, edges %+v, TLS %v", turn, r.Ledger, e, r.TLS)
				}
				for i, s := range f.generators.all[0].tls.sessions {
					waiting, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
					if err != nil || waiting != 0 || len(s.in)+len(s.out)+s.pendingWrite != 0 {
						t.Errorf("slice %d, client %d: %d octets in the socket, %d in, %d out, %v", turn, i, waiting, len(s.in), len(s.out), err)
					}
				}
			}
		})
	}
}

// If a server is not trusted, or speaks no TLS, the error is one line that says what to do.
func TestServersNotTrusted(t *testing.T) {
	server, client := identity(t)
	old, other := server.Clone(), client.Clone()
	old.MaxVersion, other.ServerName = tls.VersionTLS12, "chat.example"
	for name, c := range map[string]struct {
		server, client *tls.Config
		want           string
	}{
		"unknown":         {server, &tls.Config{RootCAs: x509.NewCertPool()}, "-ca FILE"},
		"of another name": {server, other, `not for "chat.example"`},
		"of TLS 1.2":      {old, client, "another version of TLS"},
		"plain":           {nil, client, "perhaps the server there does not speak TLS"},
	} {
		s := newRoom(t, 1, func(r *room) {
			if c.server != nil {
				r.Listener = tls.NewListener(r.Listener, c.server)
			}
		})
		_, err := Run(context.Background(), Config{Server: s.Addr().String(), TLS: c.client, Clients: 3, Rate: 100, Connect: longDrain})
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	skipped := &tls.Config{InsecureSkipVerify: true}
	s := newRoom(t, 1, func(r *room) { r.Listener = tls.NewListener(r.Listener, server) })
	if r := run(t, Config{Server: s.Addr().String(), TLS: skipped, Clients: 3, Rate: 100, Duration: 50 * time.Millisecond}); !r.Ledger.Clean() {
		t.Errorf("not verified: %+v", r.Ledger)
	}
	if _, err := Ceiling(context.Background(), Config{Clients: 3, Rate: 100, TLS: client}, nil); !errors.Is(err, ErrConfig) {
		t.Errorf("a ceiling by TLS: %v", err)
	}
}

// Handshakes that never end time out like logins, and leave nothing behind.
func TestHandshakeNeverEnds(t *testing.T) {
	_, client := identity(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // whose backlog takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := runtime.NumGoroutine()
	_, err = Run(context.Background(), Config{Server: l.Addr().String(), TLS: client, Clients: 3, Rate: 100, Connect: 200 * time.Millisecond})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "0 of 3 clients are in") {
		t.Errorf("%v", err)
	}
	for end := time.Now().Add(longDrain); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines where %d were", runtime.NumGoroutine(), before)
		}
	}
}

// secured is a session that has completed its handshake with a server, whose end of the
// connection buffers little.
func secured(t *testing.T) (*session, *tls.Conn) {
	t.Helper()
	server, client := identity(t)
	client.ServerName = "127.0.0.1"
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(ends[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10)
	file := os.NewFile(uintptr(ends[1]), "server")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); unix.Close(ends[0]) })
	there := tls.Server(conn, server)
	shaken := make(chan error, 1)
	go func() { shaken <- there.Handshake() }()
	s := newSession(ends[0], client)
	buf := make([]byte, 64<<10)
	done, err := s.shake(nil, nil)
	for !done && err == nil {
		done, err = s.shake(buf[:readAvailable(t, s.fd, buf)], nil)
	}
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	return s, there
}

// readAvailable waits for input and reads it.
func readAvailable(t *testing.T, fd int, buf []byte) int {
	t.Helper()
	for end := time.Now().Add(longDrain); ; time.Sleep(time.Millisecond) {
		n, err := unix.Read(fd, buf)
		if err == nil {
			return n
		}
		if err != unix.EAGAIN || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A write that the kernel takes in part is reported when the kernel has taken everything, and continues
// where it stopped.
func TestRefusedWrites(t *testing.T) {
	s, there := secured(t)
	text := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(text) // no part is like another
	var got bytes.Buffer
	take := func(n int, patience time.Duration) error {
		there.SetReadDeadline(time.Now().Add(patience))
		_, err := io.CopyN(&got, there, int64(n))
		return err
	}
	written, refusals := 0, 0
	for written < len(text) {
		n, err := s.write(text[written:])
		switch {
		case err == nil && n > 0:
			written += n
		case err != unix.EAGAIN || n != 0:
			t.Fatal(n, err)
		default:
			refusals++
			if err := take(written-got.Len(), longDrain); err != nil {
				t.Fatalf("%d octets are said to be written; the server has %d, then %v", written, got.Len(), err)
			}
			if err := take(len(text)-got.Len(), time.Millisecond); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, got.Bytes()) {
				t.Fatalf("other octets came than were written, %d of them", got.Len())
			}
		}
	}
	if err := take(len(text)-got.Len(), longDrain); err != nil || refusals == 0 || !bytes.Equal(got.Bytes(), text) {
		t.Errorf("%d refusals; %d of %d octets came, or others, %v", refusals, got.Len(), len(text), err)
	}
}

// Records are decrypted wherever the stream is split, several at a time or in pieces, and
// so is its end.
func TestRecordsInPieces(t *testing.T) {
	for name, next := range map[string]func(int) int{
		"octets": func(int) int { return 1 },
		"pieces": func(n int) int { return n*3%1999 + 1 },
	} {
		t.Run(name, func(t *testing.T) { inPieces(t, next) })
	}
}

// inPieces decrypts a stream that is split into lengths; next computes each from the one before.
func inPieces(t *testing.T, next func(int) int) {
	s, there := secured(t)
	var text, sealed []byte
	sent := make(chan error, 1)
	go func() {
		var err error
		for k, size := range []int{1, 100, 2000, 40_000, 3} {
			part := bytes.Repeat([]byte{byte('a' + k)}, size)
			text = append(text, part...)
			if err == nil {
				_, err = there.Write(part)
			}
		}
		sent <- errors.Join(err, there.Close())
	}()
	buf := make([]byte, 64<<10)
	for n := 1; n > 0; sealed = append(sealed, buf[:n]...) {
		n = readAvailable(t, s.fd, buf)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	var got []byte
	plain := make([]byte, readSize)
	for step := 1; len(sealed) > 0; step = next(step) {
		step = min(step, len(sealed))
		n, err := s.decrypt(plain, sealed[:step])
		if sealed = sealed[step:]; n == 0 && err != unix.EAGAIN && len(sealed) > 0 || n > 0 && err != nil {
			t.Fatalf("%d octets and %v, with %d still to come", n, err, len(sealed))
		}
		if got = append(got, plain[:n]...); !bytes.HasPrefix(text, got) {
			t.Fatalf("with %d octets still to come: what came is not what was sent", len(sealed))
		}
	}
	if n, err := s.decrypt(plain, nil); n != 0 || err != nil || len(got) != len(text) {
		t.Errorf("%d of %d octets came, and then %d, %v, where the end was due", len(got), len(text), n, err)
	}
}

// An altered record ends the connection.
func TestAlteredRecord(t *testing.T) {
	s, there := secured(t)
	if _, err := fmt.Fprint(there, "hello"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n := readAvailable(t, s.fd, buf)
	buf[n-1] ^= 1
	if k, err := s.decrypt(make([]byte, readSize), buf[:n]); k != 0 || err == nil || err == unix.EAGAIN {
		t.Errorf("%d octets, %v", k, err)
	}
}
