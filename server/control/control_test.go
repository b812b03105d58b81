package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/server/gate"
)

// fake is an Operator that records its calls.
type fake struct {
	mu   sync.Mutex
	did  []string
	fail error
	wait chan struct{} // if not nil: Users waits for it
}

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fake) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.did) == 0 {
		return ""
	}
	return f.did[len(f.did)-1]
}

func (f *fake) Users() []core.User {
	f.note("users")
	if f.wait != nil {
		<-f.wait
	}
	return []core.User{{Name: "alice"}, {Name: "bob"}}
}
func (f *fake) Kick(name string) (int, error) { return 1, f.note("kick %s", name) }
func (f *fake) Ban(target string, d time.Duration) (gate.Ban, int, error) {
	ban := gate.Ban{Name: target}
	if d > 0 {
		ban.Until = time.Unix(1e9, 0)
	}
	return ban, 2, f.note("ban %s %v", target, d)
}
func (f *fake) Known(b gate.Ban) bool     { return b.Name != "spamer" }
func (f *fake) Unban(target string) error { return f.note("unban %s", target) }
func (f *fake) Bans() []gate.Ban          { return []gate.Ban{{Name: "bob"}} }
func (f *fake) Say(text string) int       { f.note("say %s", text); return 7 }
func (f *fake) Reload() (int, error)      { return 3, f.note("reload") }
func (f *fake) Drain()                    { f.note("drain") }
func (f *fake) Stats() any                { return map[string]int{"clients": 4} }

// served starts a Server, and returns the path of its socket.
func served(t *testing.T, op Operator) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctl")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(op) }()
	t.Cleanup(func() {
		s.Close()
		<-done
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is there after the end: %v", err)
		}
	})
	return s, path
}

// Each command calls the Operator, and has its own answer.
func TestCommands(t *testing.T) {
	op := new(fake)
	_, path := served(t, op)
	for _, c := range []struct {
		r    Request
		did  string
		want string
	}{
		{Request{Command: "who"}, "users", `"text":"2 in the room","users":[{"name":"alice"`},
		{Request{Command: "kick", Target: "bob"}, "kick bob", `{"text":"kicked bob","ended":1}`},
		{Request{Command: "ban", Target: "bob"}, "ban bob 0s", `{"text":"banned bob for good: 2 ended","ended":2}`},
		{Request{Command: "ban", Target: "bob", For: "90m"}, "ban bob 1h30m0s", `{"text":"banned bob until 2001-09-09 01:46:40 UTC: 2 ended","ended":2}`},
		{Request{Command: "ban", Target: "bob", For: "7d"}, "ban bob 168h0m0s", `"ended":2`},
		{Request{Command: "ban", Target: "bob", For: "1d12h"}, "ban bob 36h0m0s", `"ended":2`},
		{Request{Command: "ban", Target: "spamer"}, "ban spamer 0s", `{"text":"banned spamer for good: 2 ended, there is no user of that name","ended":2}`},
		{Request{Command: "unban", Target: "bob"}, "unban bob", `{"text":"lifted the ban of bob"}`},
		{Request{Command: "bans"}, "unban bob", `{"text":"1 banned","bans":[{"name":"bob"}]}`},
		{Request{Command: "say", Text: "hello there"}, "say hello there", `{"text":"said to 7"}`},
		{Request{Command: "reload"}, "reload", `{"text":"read again: 3 ended","ended":3}`},
		{Request{Command: "drain"}, "drain", `{"text":"draining"}`},
		{Request{Command: "stats"}, "drain", `{"stats":{"clients":4}}`},

		{Request{Command: "kick"}, "drain", `{"error":"kick: takes one name, address or prefix"}`},
		{Request{Command: "say", Target: "bob"}, "drain", `{"error":"say: takes a text"}`},
		{Request{Command: "kick", Target: "bob", For: "1h"}, "drain", `{"error":"kick: takes one name, address or prefix"}`},
		{Request{Command: "who", Text: "x"}, "drain", `{"error":"who: takes no arguments"}`},
		{Request{Command: "ban", Target: "bob", For: "often"}, "drain", `"error":"\"often\" is not a duration: give one such as 90m, 36h or 7d, of at least 1s"`},
		{Request{Command: "ban", Target: "bob", For: "-1h"}, "drain", `is not a duration`},
		{Request{Command: "dance"}, "drain", `{"error":"there is no command \"dance\": chatd ctl -h lists them"}`},
	} {
		a, err := Ask(path, c.r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(a)
		if !strings.Contains(string(text), c.want) || op.last() != c.did {
			t.Errorf("%+v: %s, did %q, want %s and %q", c.r, text, op.last(), c.want, c.did)
		}
	}
	op.fail = errors.New("gate: no")
	if a, err := Ask(path, Request{Command: "reload"}); err != nil || a.Error != "no" || a.Text != "" {
		t.Errorf("what fails: %+v, %v", a, err)
	}
	op.fail = gate.NotSaved{Err: errors.New("disk full")}
	if a, err := Ask(path, Request{Command: "ban", Target: "bob"}); err != nil || !strings.Contains(a.Error, "disk full") || a.Ended != 2 || a.Text == "" {
		t.Errorf("a ban that is not saved: %+v, %v", a, err)
	}
}

// A duration may begin with days. Other texts, and durations that are too long, are refused.
func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"90m": 90 * time.Minute, "36h": 36 * time.Hour, "0d1s": time.Second, "36500d": maxDays * day, "2d1h30m": 49*time.Hour + 30*time.Minute} {
		if got, err := parseTime(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "7 d", "-7d", "+7d", "1.5d", "7d-1h", "7dx", "1h7d", "7d7d", "36501d", "99999999999999999999d", "1d999999h", "1w"} {
		if got, err := parseTime(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// A line that is not a request is answered with an error that shows one; an incomplete line is not
// answered.
func TestBadRequests(t *testing.T) {
	_, path := served(t, new(fake))
	for sent, want := range map[string]string{
		"who\n": `a request is one line such as {\"command\":\"who\"}`, `{"command":"who","wrong":1}` + "\n": "a request is one line",
		strings.Repeat("x", maxRequest+1): "at most 16384 octets", "{\"command\":\"who\"}": "",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, sent)
		conn.(*net.UnixConn).CloseWrite()
		got, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.Contains(string(got), want) || want == "" && len(got) > 0 || strings.Count(string(got), "\n") > 1 {
			t.Errorf("%.40q is answered with %q, want %q", sent, got, want)
		}
	}
}

// maxConns connections are served at once; one more waits until one of them has ended.
func TestConnectionsAreBounded(t *testing.T) {
	_, path := served(t, new(fake))
	var idle []net.Conn
	for range maxConns {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	answered := make(chan string, 1)
	go func() {
		a, err := Ask(path, Request{Command: "who"})
		answered <- fmt.Sprint(a.Text, err)
	}()
	select {
	case got := <-answered:
		t.Errorf("one too many was answered: %s", got)
	case <-time.After(20 * time.Millisecond):
	}
	idle[0].Close()
	if got := <-answered; got != "2 in the room<nil>" {
		t.Errorf("when a slot was free again: %s", got)
	}
}

// Close lets requests that have come be answered, and closes connections without a request.
func TestCloseAnswers(t *testing.T) {
	op := &fake{wait: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "ctl")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(op) }()
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answered := make(chan error, 1)
	go func() {
		a, err := Ask(path, Request{Command: "who"})
		if err == nil && len(a.Users) != 2 {
			err = fmt.Errorf("answer %+v", a)
		}
		answered <- err
	}()
	for op.last() != "users" {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if _, err := bufio.NewReader(silent).ReadByte(); err == nil {
		t.Error("a connection without a request was answered")
	}
	close(op.wait)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	<-done
	if _, err := Ask(path, Request{Command: "who"}); err == nil || !strings.Contains(err.Error(), "no chatd listens at "+path) {
		t.Errorf("afterwards: %v", err)
	}
}

// Only its owner may use the socket. A socket that was left behind is replaced; one at which
// another chatd listens, and a file that is not a socket, are kept.
func TestListen(t *testing.T) {
	_, path := served(t, new(fake))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, nil); err == nil || !strings.Contains(err.Error(), "another chatd listens at") {
		t.Errorf("where another listens: %v", err)
	}
	stale := filepath.Join(t.TempDir(), "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after kill -9
	l.Close()
	s, err := Listen(stale, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("where one was left: %v", err)
	}
	s.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, nil); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("where a file is: %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Error("the file is gone")
	}
	if _, err := Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 120)), nil); err == nil || !strings.Contains(err.Error(), "choose a shorter path") {
		t.Errorf("a long path: %v", err)
	}
}
