package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
	"chatbench/server/cluster"
	"chatbench/server/front"
	"chatbench/server/gate"
	"chatbench/server/web"
)

// fakeGate has hashed some passwords.
type fakeGate struct{}

func (fakeGate) Stats() gate.Stats {
	return gate.Stats{Right: 3, Wrong: 2, Throttled: 1, Queued: 4, Hashers: 1, Users: 5, Bans: 6}
}

type fakeLines struct{}

func (fakeLines) LeftOut() uint64 { return 7 }

type fakeCertificate struct{}

func (fakeCertificate) Expires() time.Time { return time.Unix(2e9, 0) }

// fakeCluster has three clients elsewhere, and is cut off if it is to be.
type fakeCluster struct{ lost bool }

func (c fakeCluster) Stats() cluster.Stats {
	took := cluster.Latency{Count: 2, Sum: 30 * time.Millisecond}
	for i, bound := range cluster.LatencyBounds {
		if bound >= 15*time.Millisecond {
			took.Within[i] = 2
		}
	}
	return cluster.Stats{Node: "a", CutOff: c.lost, NATS: "RECONNECTING", Sequence: 42, Remote: 3, Undelivered: 17, Latency: took}
}

// idleWaker is a transport that writes nothing.
type idleWaker struct{}

func (idleWaker) WakeRoom()          {}
func (idleWaker) Wake(*core.Session) {}

// fakeSources has all there can be: a room with ann in it, who has said something.
func fakeSources(draining *atomic.Bool) Sources {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	ann := room.Join(netip.MustParseAddrPort("192.0.2.1:4000"), idleWaker{}, nil)
	ann.Feed(wire.AppendChat(wire.AppendCred(nil, "ann", "x"), "hello"))
	transport := new(backends.Counters)
	transport.Accepts.Store(11)
	transport.BytesOut.Store(5 << 20)
	transport.TimeTurns = true
	turns := transport.TurnTimer()
	for range 3 {
		turns.Begin()
		turns.Over()
	}
	return Sources{
		Backend: "fake", MaxClients: 100, Room: room, Transport: transport, Gate: fakeGate{}, Lines: fakeLines{}, Draining: draining.Load,
		Front: new(front.Counters), Carrier: new(front.Carrier), Certificate: fakeCertificate{}, Web: new(web.Counters),
		Cluster: fakeCluster{},
	}
}

// served is a Server at work, its URL, and what makes it drain. before is done before
// it serves.
func served(t *testing.T, change func(*Config), before ...func(*Server)) (s *Server, url string, draining *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	draining = new(atomic.Bool)
	cfg := Config{Listener: l, Sources: fakeSources(draining), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s = New(cfg)
	for _, do := range before {
		do(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + s.Addr().String(), draining
}

// get asks as curl does: a connection for each request.
func get(t *testing.T, url, host string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// Each path answers as it is to; profiles only if they are wanted.
func TestPaths(t *testing.T) {
	_, url, draining := served(t, nil)
	check := func(path string, code int, part string) {
		t.Helper()
		answer, body := get(t, url+path, "")
		if answer.StatusCode != code || !strings.Contains(body, part) {
			t.Errorf("%s: %d %.200q, want %d with %q", path, answer.StatusCode, body, code, part)
		}
		if csp := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
	}
	check("/healthz", 200, "ok\n")
	check("/readyz", 200, "ready\n")
	check("/metrics", 200, "chatd_messages_total 1\n")
	check("/", 200, `<script src="live.js" defer>`)
	check("/live.js", 200, "EventSource")
	check("/none", 404, "")
	check("/debug/pprof/", 404, "")
	draining.Store(true)
	check("/healthz", 200, "ok\n")
	check("/readyz", 503, "draining\n")
	check("/metrics", 200, "chatd_draining 1\n")
	_, url, _ = served(t, func(c *Config) { c.Sources.Cluster = fakeCluster{lost: true} })
	check("/healthz", 200, "ok\n")
	check("/readyz", 503, "cut off from the other servers of the room, so logins are denied; connection to NATS: RECONNECTING\n")
	check("/metrics", 200, "chatd_cluster_connected 0\n")
	_, url, _ = served(t, func(c *Config) { c.Profiles = true })
	check("/debug/pprof/", 200, "heap")
	check("/debug/pprof/cmdline", 200, "admin.test")
}

// stuckRoom answers nobody until it is freed.
type stuckRoom struct {
	free  chan struct{}
	asked atomic.Int64
}

func (s *stuckRoom) Snapshot() core.Stats {
	s.asked.Add(1)
	<-s.free
	return core.Stats{}
}
func (s *stuckRoom) Backlog() core.Backlog { <-s.free; return core.Backlog{} }

// A server whose room is stuck is not well, however often it is asked, until the room
// answers again.
func TestStuckRoom(t *testing.T) {
	room := &stuckRoom{free: make(chan struct{})}
	s, url, _ := served(t, func(c *Config) { c.Sources.Room = room })
	var asks sync.WaitGroup
	for range 8 {
		asks.Go(func() {
			answer, body := get(t, url+"/healthz", "")
			if answer.StatusCode != 503 || body != "the room does not answer\n" {
				t.Errorf("stuck: %d %q", answer.StatusCode, body)
			}
		})
	}
	asks.Wait()
	if n := room.asked.Load(); n != 1 {
		t.Errorf("the room was asked %d times", n)
	}
	if err := Check(t.Context(), s.Addr().String()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("stuck: %v", err)
	}
	close(room.free)
	if err := Check(t.Context(), s.Addr().String()); err != nil {
		t.Errorf("free again: %v", err)
	}
}

// A page of another site that has this address under its own name reads nothing.
func TestHostIsChecked(t *testing.T) {
	_, url, _ := served(t, nil)
	for host, want := range map[string]int{
		"127.0.0.1:9100": 200, "localhost:9100": 200, "localhost": 200, "[::1]:9100": 200, "127.9.9.9": 200,
		"evil.example": 403, "evil.example:9100": 403, "192.0.2.1": 403, "localhost.evil.example:9100": 403,
	} {
		if answer, _ := get(t, url+"/metrics", host); answer.StatusCode != want {
			t.Errorf("asked as %s: %d, want %d", host, answer.StatusCode, want)
		}
	}
}

// A request of which a part never comes has its time. What takes longer than that to
// answer goes on.
func TestTimeOfARequest(t *testing.T) {
	s, url, _ := served(t, nil, func(s *Server) {
		for _, d := range []*time.Duration{&s.http.ReadHeaderTimeout, &s.http.ReadTimeout} {
			*d = min(*d, 500*time.Millisecond) // 0, which is no bound, stays
		}
	})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a request whose body never comes keeps its connection")
	}
	answer, err := http.Get(url + "/live")
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		answer, err = http.Get(url + "/live") // on a busy machine the request may come too late
	}
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	events := bufio.NewReader(answer.Body)
	for i := range 3 * 2 { // a line and an empty one
		if _, err := events.ReadString('\n'); err != nil {
			t.Fatalf("line %d of the live page: %v", i, err)
		}
	}
}

// watch opens the live page's stream; the answer's code, and one event.
func watch(t *testing.T, ctx context.Context, url string) (code int, event string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Transport{}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, ""
	}
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, line
}

// An event is what the page shows. So many may watch; when one goes there is a place.
func TestLive(t *testing.T) {
	s, url, _ := served(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	code, event := watch(t, ctx, url)
	var r struct {
		Backend    string
		Bans       int
		Queued     int       `json:"hash_queue"`
		Expires    time.Time `json:"certificate_expires"`
		Transport  struct{ Accepts int }
		Room       struct{ Ends map[string]int }
		Front, Web map[string]int
	}
	text, found := strings.CutPrefix(event, "data: ")
	if err := json.Unmarshal([]byte(text), &r); err != nil || !found || code != 200 {
		t.Fatalf("%d %q: %v", code, event, err)
	}
	if r.Backend != "fake" || r.Queued != 4 || r.Bans != 6 || r.Transport.Accepts != 11 || r.Expires.Unix() != 2e9 || r.Front == nil || r.Web == nil || len(r.Room.Ends) != core.Reasons {
		t.Errorf("an event is %s", event)
	}
	for range maxWatchers - 1 {
		if code, _ := watch(t, t.Context(), url); code != 200 {
			t.Fatalf("a watcher within the bound: %d", code)
		}
	}
	if code, _ := watch(t, t.Context(), url); code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", code)
	}
	leave()
	for deadline := time.Now().Add(20 * time.Second); s.watchers.Load() >= maxWatchers; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("who has left is still counted")
		}
	}
	if code, _ := watch(t, t.Context(), url); code != 200 {
		t.Errorf("when one has left: %d", code)
	}
}

// Connections are bounded, and those that end make room.
func TestConnectionsAreBounded(t *testing.T) {
	s, _, _ := served(t, nil)
	var open []net.Conn
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for range maxConns {
		open = append(open, dial())
	}
	ask := func(c net.Conn) {
		t.Helper()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if text, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(text), "ok\n") {
			t.Errorf("a connection within the bound: %q, %v", text, err)
		}
	}
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("one too many was answered")
	}
	ask(open[0]) // it was closed before those that have been there longer
	for _, c := range open {
		c.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); s.conns.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are counted that are closed", s.conns.Load())
		}
	}
	ask(dial())
}

// Check says whether a chatd is well, and takes the addresses -admin takes.
func TestCheck(t *testing.T) {
	s, _, _ := served(t, nil)
	port := s.Addr().Port()
	for _, addr := range []string{"127.0.0.1", "", "0.0.0.0", "localhost"} {
		if err := Check(t.Context(), fmt.Sprintf("%s:%d", addr, port)); err != nil {
			t.Errorf("at %q: %v", addr, err)
		}
	}
	for addr, want := range map[string]string{"127.0.0.1": "is not HOST:PORT", "127.0.0.1:1": "no chatd answers at"} {
		if err := Check(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("at %s: %v", addr, err)
		}
	}
	sick := http.Server{Handler: http.NotFoundHandler()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go sick.Serve(l)
	defer sick.Close()
	if err := Check(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("of something else: %v", err)
	}
}
