package web

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// bare runs a page without a chat, on an address of this machine, until the end of the test.
// change is called before it serves.
func bare(t *testing.T, address string, cfg Config, change func(*Server)) (s *Server, host string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s = New(cfg)
	change(s)
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return s, net.JoinHostPort("127.0.0.1", port)
}

func same(*Server) {}

// raw connects from an address of this machine, and sends something.
func raw(t *testing.T, from, to, first string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, first)
	return c
}

// upgrade opens a WebSocket by hand.
func upgrade(t *testing.T, host string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, r, err := tryUpgrade(t, host)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

func tryUpgrade(t *testing.T, host string) (net.Conn, *bufio.Reader, error) {
	t.Helper()
	c := raw(t, "127.0.0.1", host, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(answer.Status)
	}
	if err == nil {
		answer.Body.Close()
	}
	return c, r, err
}

// A text message ends a WebSocket with a close frame, even if the message never comes to its
// end.
func TestText(t *testing.T) {
	s, host := bare(t, "127.0.0.1:0", Config{Carry: func(conn net.Conn, _ netip.AddrPort) error {
		_, err := io.Copy(io.Discard, conn)
		conn.Close()
		if !errors.Is(err, errText) {
			t.Errorf("the end is %v", err)
		}
		return nil
	}}, same)
	for what, message := range map[string]string{
		"a whole message":                 "\x81\x82\x00\x00\x00\x00hi",
		"4 EiB that are announced":        "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"one of many parts":               "\x01\x82\x00\x00\x00\x00hi",
		"more than is read, as it is not": "\x81\xfe\xff\xff\x00\x00\x00\x00" + strings.Repeat("x", 1<<15),
	} {
		c, r := upgrade(t, host)
		c.SetReadDeadline(time.Now().Add(pingEvery - 5*time.Second)) // a ping that fails would end it too
		io.WriteString(c, message)
		got, err := io.ReadAll(r)
		if err != nil || len(got) < 4 || got[0] != 0x88 || binary.BigEndian.Uint16(got[2:]) != 1003 {
			t.Errorf("%s: the browser is told %q, %v", what, got, err)
		}
	}
	await(t, "all of them end", func() bool { return s.Open.Load() == 0 })
}

// A connection that announces octets and does not send them, or that does not read, is closed in
// time.
func TestSlowRequests(t *testing.T) {
	_, host := bare(t, "127.0.0.1:0", Config{}, func(s *Server) {
		h := &s.http
		for _, d := range []*time.Duration{&h.ReadHeaderTimeout, &h.ReadTimeout, &h.WriteTimeout, &h.IdleTimeout} {
			*d = min(*d, 300*time.Millisecond) // 0, which is no bound, stays
		}
	})
	for what, request := range map[string]string{
		"no request":     "",
		"half a request": "GET / HTTP/1.1\r\n",
		"no body":        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
		"no chunk":       "GET /ws HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
		"no other":       "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		if _, err := io.ReadAll(raw(t, "127.0.0.1", host, request)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", what)
		}
	}
	deaf := raw(t, "127.0.0.1", host, "")
	deaf.(*net.TCPConn).SetReadBuffer(4 << 10)
	var err error
	for requests := []byte(strings.Repeat("GET /chat.js HTTP/1.1\r\nHost: localhost\r\n\r\n", 100)); err == nil; {
		_, err = deaf.Write(requests)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection of a client that does not read the answer stays open")
	}
}

// The timeouts of requests do not apply to a WebSocket.
func TestNoDeadlineForWebSockets(t *testing.T) {
	carried := make(chan net.Conn)
	_, host := bare(t, "127.0.0.1:0", Config{Carry: func(conn net.Conn, _ netip.AddrPort) error {
		carried <- conn
		_, err := io.Copy(conn, conn)
		conn.Close()
		return err
	}}, func(s *Server) {
		s.http.ReadTimeout, s.http.WriteTimeout = time.Second, time.Second
	})
	var c net.Conn
	var r *bufio.Reader
	await(t, "a WebSocket is open", func() bool { // on a busy machine the request may come too late
		var err error
		c, r, err = tryUpgrade(t, host)
		return err == nil
	})
	<-carried
	time.Sleep(1100 * time.Millisecond)
	io.WriteString(c, "\x82\x82\x00\x00\x00\x00hi")
	got := make([]byte, 4)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "\x82\x02hi" {
		t.Errorf("the echo is %q, %v", got, err)
	}
}

// Shutdown waits for a request for a WebSocket that is not yet passed to Carry.
func TestShutdownWaits(t *testing.T) {
	carried, leave, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s, host := bare(t, "127.0.0.1:0", Config{Carry: func(conn net.Conn, _ netip.AddrPort) error {
		close(carried)
		<-leave
		return conn.Close()
	}}, same)
	upgrade(t, host)
	<-carried
	go func() { s.Shutdown(); close(over) }()
	await(t, "nobody else may come", func() bool {
		c, err := net.Dial("tcp", host)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-over:
		t.Error("Shutdown does not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	<-over
	if s.begin() {
		t.Error("a request after Shutdown is carried")
	}
}

// Browsers cannot fill the log.
func TestLogIsBounded(t *testing.T) {
	log := new(bytes.Buffer)
	s, host := bare(t, "127.0.0.1:0", Config{
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Carry: func(conn net.Conn, _ netip.AddrPort) error {
			conn.Close()
			return errors.New("no transport")
		},
	}, same)
	const browsers = 40
	for range browsers {
		c, _ := upgrade(t, host)
		c.Close()
	}
	await(t, "all are gone", func() bool { return s.Open.Load() == 0 })
	s.Shutdown()
	if n := bytes.Count(log.Bytes(), []byte("cannot be carried")); n == 0 || n >= browsers {
		t.Errorf("%d lines for %d browsers", n, browsers)
	}
}

// A page of another site whose name resolves to this address (DNS rebinding) is served nothing,
// and cannot connect. A trusted proxy may pass on any name. On other addresses, and with TLS, the
// Host is not checked.
func TestHost(t *testing.T) {
	cfg := Config{Origins: []string{"chat.example", "*.chat.example"}, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	local, host := bare(t, "127.0.0.1:0", cfg, same)
	_, public := bare(t, "0.0.0.0:0", cfg, same)
	get := func(from, to, path, name string) int {
		t.Helper()
		r := bufio.NewReader(raw(t, from, to, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, name)))
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	refused := int64(0)
	for name, want := range map[string]int{
		"127.0.0.1:9080": 200, "localhost:9080": 200, "LOCALHOST": 200, "[::1]:9080": 200, "[::1]": 200, "127.9.9.9": 200,
		"chat.example": 200, "Chat.Example:9080": 200, "eu.chat.example": 200,
		"evil.example": 403, "evil.example:9080": 403, "192.0.2.1": 403, "localhost.evil.example:9080": 403, "": 403,
	} {
		if got := get("127.0.0.1", host, "/", name); got != want {
			t.Errorf("Host %q: %d, want %d", name, got, want)
		}
		if want == 403 {
			refused++
			if got := get("127.0.0.1", host, "/ws", name); got != 403 {
				t.Errorf("WebSocket with Host %q: %d", name, got)
			}
			refused++
		}
		for from, to := range map[string]string{"127.0.0.2": host, "127.0.0.1": public} {
			if got := get(from, to, "/", name); got != 200 {
				t.Errorf("Host %q from %s at %s: %d", name, from, to, got)
			}
		}
	}
	if n := local.Refused.Load(); n != refused {
		t.Errorf("%d are refused, want %d", n, refused)
	}
}
