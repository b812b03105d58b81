package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"chatbench/backends"
	"chatbench/backends/goroutine"
	"chatbench/core"
	"chatbench/core/proxyproto"
	"chatbench/core/wire"
	"chatbench/server/front"
)

var secret = bytes.Repeat([]byte{5}, 32)

// chatServer is a chat with a page: a room, a transport, and a carrier.
type chatServer struct {
	t      testing.TB
	web    *Server
	url    string // of the page
	plain  string // of the transport
	stop   func()
	counts func() core.Stats
	kick   func(why string) // everybody
}

// serve runs a chatServer until stop or the end of the test. at is the address of the page;
// "127.0.0.1:0" picks a port.
func serve(t testing.TB, at string, cfg Config, change ...func(*core.Config)) *chatServer {
	t.Helper()
	policy := &proxyproto.Policy{Secret: secret}
	chat := core.Config{Authenticator: core.OpenDoor{}, Announce: true, Preface: policy.Preface, Now: time.Now()}
	for _, f := range change {
		f(&chat)
	}
	room := core.NewRoom(chat)
	var counters backends.Counters
	log := slog.New(slog.DiscardHandler)
	engine, err := goroutine.Backend.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: &counters, Log: log, MaxClients: 1000, Backlog: 128, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	carrier := front.NewCarrier(engine.Addr(), secret, time.Second)
	cfg.Carry, cfg.Log = carrier.Carry, log
	s := &chatServer{t: t, web: New(cfg), url: "http://" + l.Addr().String() + "/", plain: engine.Addr().String(), counts: room.Snapshot}
	s.kick = func(why string) { room.Kick(func(core.User) bool { return true }, why) }
	served, ticked := make(chan error, 1), make(chan struct{})
	go func() { served <- s.web.Serve(l) }()
	ticker := time.NewTicker(50 * time.Millisecond)
	go func() {
		for {
			select {
			case now := <-ticker.C:
				room.Tick(now)
			case <-ticked:
				return
			}
		}
	}()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		s.web.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		room.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		carrier.Shutdown(ctx)
		s.web.Shutdown()
		engine.Shutdown(ctx)
		ticker.Stop()
		close(ticked)
	}
	t.Cleanup(s.stop)
	return s
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

func dial(t testing.TB, url string, header http.Header) (*websocket.Conn, error) {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, err
}

// The octets of messages are those of a connection, in whatever pieces they come.
func TestFrames(t *testing.T) {
	s := serve(t, "127.0.0.1:0", Config{})
	c, err := dial(t, s.url+"ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	in := append(wire.AppendCred(nil, "alice", "x"), wire.AppendChat(wire.AppendChat(nil, "one"), "two")...)
	for _, part := range [][]byte{in[:3], in[3:11], in[11:]} {
		if err := c.Write(t.Context(), websocket.MessageBinary, part); err != nil {
			t.Fatal(err)
		}
	}
	conn := websocket.NetConn(t.Context(), c, websocket.MessageBinary)
	got := make([]byte, 0, 256)
	for buf := make([]byte, 64); !bytes.Contains(got, []byte("alice: two\x00")); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	if want := "\x01granted\x00"; !strings.HasPrefix(string(got), want) || !bytes.Contains(got, []byte("\x00alice: one\x00\x00alice: two\x00")) {
		t.Errorf("got %q", got)
	}
	c.Close(websocket.StatusNormalClosure, "")
	await(t, "the session ends", func() bool { return s.counts().Clients == 0 })
	if st := s.counts(); st.Clients != 0 || st.Ends[core.ReasonEOF] != 1 {
		t.Errorf("ends after a WebSocket was closed: %+v", st.Ends)
	}
}

// A page of another site cannot connect. Paths without a file are not found. The policy of the
// page allows nothing from other servers.
func TestOriginAndHeaders(t *testing.T) {
	s := serve(t, "127.0.0.1:0", Config{Origins: []string{"friend.example"}})
	if _, err := dial(t, s.url+"ws", http.Header{"Origin": {"https://evil.example"}}); err == nil {
		t.Error("a page of evil.example may connect")
	}
	if _, err := dial(t, s.url+"ws", http.Header{"Origin": {"https://friend.example"}}); err != nil {
		t.Errorf("a page of an allowed host may not connect: %v", err)
	}
	for path, want := range map[string]int{"": 200, "chat.js": 200, "chat.css": 200, "frames.js": 200, "web.go": 404, "../web.go": 404, "ws": 426} {
		resp, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: status %d, want %d", path, resp.StatusCode, want)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); want == 200 && (!strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || len(body) == 0) {
			t.Errorf("%q: policy %q, %d octets", path, csp, len(body))
		}
	}
	if n := s.web.Refused.Load(); n != 2 {
		t.Errorf("%d refused, want 2", n)
	}
}

// A message that is too long is refused, and a WebSocket beyond the limit.
func TestBounds(t *testing.T) {
	s := serve(t, "127.0.0.1:0", Config{MaxConns: 1})
	c, err := dial(t, s.url+"ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, s.url+"ws", nil); err == nil || !strings.Contains(err.Error(), "503") || s.web.TooMany.Load() != 1 {
		t.Errorf("a WebSocket beyond the limit: %v, counted %d", err, s.web.TooMany.Load())
	}
	c.Write(t.Context(), websocket.MessageBinary, make([]byte, maxMessage+1))
	for err == nil {
		_, _, err = c.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message that is too long ends with %v", err)
	}
	await(t, "its session ends", func() bool { return s.counts().Clients == 0 })
}

// The address of a browser is that of its connection, or the one that a trusted proxy names.
func TestPeer(t *testing.T) {
	s := &Server{cfg: Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	for _, c := range []struct{ from, forwarded, want string }{
		{"203.0.113.1:5", "", "203.0.113.1:5"},
		{"203.0.113.1:5", "198.51.100.1", "203.0.113.1:5"},
		{"10.1.1.1:5", "198.51.100.1", "198.51.100.1:0"},
		{"[::1]:5", "198.51.100.1", "198.51.100.1:0"},
		{"10.1.1.1:5", "", "10.1.1.1:5"},
		{"10.1.1.1:5", "forged, 198.51.100.1, 10.2.2.2", "198.51.100.1:0"},
		{"10.1.1.1:5", "forged", "10.1.1.1:5"},
		{"10.1.1.1:5", "192.0.2.66, 198.51.100.1", "198.51.100.1:0"},
		{"10.1.1.1:5", "2001:db8::1", "[2001:db8::1]:0"},
	} {
		r, _ := http.NewRequest("GET", "/ws", nil)
		r.RemoteAddr = c.from
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got, err := s.peer(r); err != nil || got.String() != c.want {
			t.Errorf("from %s for %q: %v, %v; want %s", c.from, c.forwarded, got, err, c.want)
		}
	}
	if _, err := s.peer(&http.Request{RemoteAddr: "@"}); err == nil {
		t.Error("a request without an address has one")
	}
}
