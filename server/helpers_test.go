package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/epoll"
	"chatbench/client"
	"chatbench/internal/tcptest"
	"chatbench/server/admin"
	"chatbench/server/gate"
)

// peer is an arbitrary address of a client.
var peer = netip.MustParseAddrPort("192.0.2.1:4000")

// patience is how long a test waits for what must come. It is long, because passwords are hashed
// by threads of low priority, which other processes can keep from running for seconds.
const patience = time.Minute

// waitFor waits until a condition is true.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("timed out")
		}
		time.Sleep(time.Millisecond)
	}
}

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(part string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Contains(l.text.String(), part)
	}
}

// options are the options of an open server with epoll on a free port. It is patient with clients.
func options(log io.Writer) Options {
	o := Defaults()
	o.Backend, o.Listen, o.Open, o.MaxClients = epoll.Backend, "127.0.0.1:0", true, 100
	o.JSON, o.Out, o.Drain, o.LoginTimeout = true, io.Discard, patience, patience
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	return o
}

// running is a call of Run in this process.
type running struct {
	t      *testing.T
	log    *logged
	addr   string
	lines  *bufio.Scanner
	result chan error
	cancel context.CancelFunc
}

// start runs a server with options changed by change, and waits for its first line.
func start(t *testing.T, change func(*Options)) *running {
	t.Helper()
	log := new(logged)
	o := options(log)
	change(&o)
	read, write := io.Pipe()
	o.Out = write
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, log: log, lines: bufio.NewScanner(read), result: make(chan error, 1), cancel: cancel}
	go func() {
		err := Run(ctx, o)
		write.Close()
		r.result <- err
	}()
	var first listening
	if !r.line(&first) {
		t.Fatalf("no first line: %v", <-r.result)
	}
	if first.Event != "listening" || first.Backend != o.Backend.Name {
		t.Fatalf("first line: %+v", first)
	}
	r.addr = first.Addr
	t.Cleanup(cancel)
	return r
}

// line reads one line into v.
func (r *running) line(v any) bool {
	r.t.Helper()
	if !r.lines.Scan() {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(r.lines.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		r.t.Errorf("line %s: %v", r.lines.Text(), err)
	}
	return true
}

// last is the last line that the server prints.
type last struct {
	Event    string
	Counters admin.TransportStats
	Room     map[string]uint64
	Ends     map[string]uint64
	Logins   gate.Stats
	Front    *frontStats
	Page     *pageStats
	NoTarget int64  `json:"no_target"`
	GivenUp  string `json:"given_up"`
	Runtime  runtimeStats
	Error    string
}

func (r *running) end() (l last, err error) {
	r.t.Helper()
	if !r.line(&l) || l.Event != "stopped" {
		r.t.Errorf("last line: %+v", l)
	}
	if r.lines.Scan() {
		r.t.Errorf("a third line: %s", r.lines.Text())
	}
	return l, <-r.result
}

func (r *running) login(user, password string) (*client.Client, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Server: r.addr, User: user, Password: password})
	if err == nil {
		r.t.Cleanup(c.Close)
	}
	return c, err
}

func (r *running) mustLogin(user, password string) *client.Client {
	r.t.Helper()
	c, err := r.login(user, password)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// denied logs in, which must be denied, and returns the reason.
func (r *running) denied(user, password string) string {
	r.t.Helper()
	_, err := r.login(user, password)
	var d *client.DeniedError
	if !errors.As(err, &d) {
		r.t.Fatalf("login of %q: %v, want it denied", user, err)
	}
	return d.Reason
}

// hashOfSecret is precomputed: under the race detector a hash takes seconds.
const hashOfSecret = "$2a$10$6JUXRmpa1CYi2qUDRTGBLup4JpU5E4jV/fMMFHGI.AMaVfnTtepYC"

// writeUsers makes a users file in which all passwords are "secret".
func writeUsers(t *testing.T, path string, names ...string) {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + ":" + hashOfSecret + "\n")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func usersFile(t *testing.T) string { return filepath.Join(t.TempDir(), "users.txt") }

// fakeTransport is a transport for tests.
type fakeTransport struct {
	done     chan struct{}
	err      error
	shutdown func(context.Context) error
}

func (e *fakeTransport) Addr() netip.AddrPort               { return netip.MustParseAddrPort("127.0.0.1:1") }
func (e *fakeTransport) Shutdown(ctx context.Context) error { return e.shutdown(ctx) }
func (e *fakeTransport) Done() <-chan struct{}              { return e.done }
func (e *fakeTransport) Err() error                         { return e.err }

func fakeBackend(e *fakeTransport, err error) backends.Backend {
	return backends.Backend{Name: "scripted", FDsPerClient: 1, Start: func(backends.Config) (backends.Server, error) {
		return e, err
	}}
}

// freeAddress is an address of loopback on which nobody listens, and nobody but this test can.
func freeAddress(t *testing.T) string {
	t.Helper()
	return tcptest.Free(t).String()
}
