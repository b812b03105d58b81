package transfer

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatbench/backends/epoll"
	"chatbench/client"
	"chatbench/client/downloads"
	"chatbench/client/share"
	"chatbench/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that lets everybody in.
func serve(t *testing.T, change ...func(*server.Options)) string {
	t.Helper()
	o := server.Defaults()
	o.Backend, o.Listen, o.Open, o.Announce, o.MaxClients = epoll.Backend, "127.0.0.1:0", true, false, 100
	o.Out, o.Log = io.Discard, slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, f := range change {
		f(&o)
	}
	s, err := server.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s.Addr().String()
}

// user is one client with a Peer, a directory to share and one to save in.
type user struct {
	t      *testing.T
	c      *client.Client
	p      *Peer
	shared string
	saved  string
	told   chan string
}

func join(t *testing.T, addr, name string, change func(*Options)) *user {
	t.Helper()
	u := &user{t: t, shared: t.TempDir(), saved: t.TempDir(), told: make(chan string, 1000)}
	o := Options{Tell: func(text string) { u.told <- text }}
	from, err := share.Open(u.shared)
	if err != nil {
		t.Fatal(err)
	}
	to, err := downloads.Open(u.saved)
	if err != nil {
		t.Fatal(err)
	}
	o.Share, o.Downloads = from, to
	if change != nil {
		change(&o)
	}
	u.p = New(o)
	u.c, err = client.Dial(t.Context(), client.Config{Server: addr, User: name, Password: "x", Files: u.p})
	if err != nil {
		u.p.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { u.c.Close(); u.p.Close(); from.Close(); to.Close() })
	go func() {
		for range u.c.Events() {
		}
	}()
	return u
}

// put shares a file of n octets.
func (u *user) put(name string, n int64) { fill(u.t, filepath.Join(u.shared, name), n) }

func (u *user) fetch(from, file string) (Saved, error) {
	u.t.Helper()
	return u.p.Fetch(u.t.Context(), u.c, from, file, new(Progress))
}

// has checks that u has saved what from shares.
func (u *user) has(name string, from *user, shared string) {
	u.t.Helper()
	got, err := os.ReadFile(filepath.Join(u.saved, name))
	want, err2 := os.ReadFile(filepath.Join(from.shared, shared))
	if err != nil || err2 != nil || string(got) != string(want) {
		u.t.Errorf("%s: %d octets, want %d of %s (%v, %v)", name, len(got), len(want), shared, err, err2)
	}
}

// files gives the names in the directory for downloads.
func (u *user) files() (names []string) {
	u.t.Helper()
	entries, err := os.ReadDir(u.saved)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wantTold waits for a text about files that were fetched from u.
func (u *user) wantTold(part string) {
	u.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case text := <-u.told:
			if strings.Contains(text, part) {
				return
			}
		case <-late:
			u.t.Fatalf("Tell was not called with %q", part)
		}
	}
}
