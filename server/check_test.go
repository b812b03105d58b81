package server

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/internal/certtest"
)

// TestCheckFindsAll: Check goes on after the first problem.
func TestCheckFindsAll(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	users := usersFile(t)
	if err := os.WriteFile(users, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(new(logged))
	o.Open, o.Users, o.Listen = true, users, taken.Addr().String()
	o.MaxFrame, o.MaxClients, o.Backlog = 1<<20, 1<<30, 0
	f := Check(t.Context(), o)
	wants := []string{"exclude each other", "-max-frame 1048576", "-backlog is out of range", "-max-clients 1073741824 needs", ":1: no colon", "is in use"}
	for _, want := range wants {
		if !slices.ContainsFunc(f.Problems, func(err error) bool { return strings.Contains(err.Error(), want) }) {
			t.Errorf("no problem says %q: %v", want, errors.Join(f.Problems...))
		}
	}
	if len(f.Problems) != len(wants) || len(f.Warnings) != 0 || f.MaxClients != 0 {
		t.Errorf("found %+v", f)
	}
}

// TestCheckServesNobody: after Check the server can be started, on the same port.
func TestCheckServesNobody(t *testing.T) {
	addr := freeAddress(t)
	o := options(new(logged))
	o.Listen = addr
	if f := Check(t.Context(), o); len(f.Problems) > 0 || len(f.Warnings) > 0 || f.MaxClients != o.MaxClients {
		t.Errorf("found %+v", f)
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f := Check(t.Context(), o); len(f.Problems) != 1 || !strings.Contains(f.Problems[0].Error(), addr+" is in use") {
		t.Errorf("beside a server Check found %+v", f)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCheckWarns: Check warns of settings that are valid but probably mistakes.
func TestCheckWarns(t *testing.T) {
	users := usersFile(t)
	writeUsers(t, users)
	o := options(new(logged))
	o.Open, o.Users, o.MaxClients, o.Backend.MaxClients = false, users, 0, 500
	f := Check(t.Context(), o)
	if len(f.Problems) > 0 || f.MaxClients != 500 || len(f.Warnings) != 2 ||
		!strings.HasPrefix(f.Warnings[0], "at most 500 clients, not 10000: ") || f.Warnings[1] != users+" has no users: nobody can log in, see chatd user" {
		t.Errorf("found %+v", f)
	}
}

// TestCheckAddress: an invalid address is one problem, not two.
func TestCheckAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"nowhere":                "no HOST:PORT",
		"no.such.host.invalid:1": "no address of this machine",
	} {
		o := options(new(logged))
		o.Listen = listen
		if f := Check(t.Context(), o); len(f.Problems) != 1 || !strings.Contains(f.Problems[0].Error(), want) {
			t.Errorf("%s: found %v", listen, f.Problems)
		}
	}
}

// TestCheckListeners: the certificate is loaded, and both addresses are bound, at once.
func TestCheckListeners(t *testing.T) {
	cert, key := certtest.Write(t, t.TempDir(), 30*24*time.Hour, "127.0.0.1")
	addr := freeAddress(t)
	o := options(new(logged))
	o.TLSCert, o.TLSKey, o.Web = cert, key, "127.0.0.1:0"
	if f := Check(t.Context(), o); len(f.Problems) > 0 || len(f.Warnings) > 0 {
		t.Errorf("found %+v", f)
	}
	o.TLSKey, o.Listen, o.Web = cert, addr, addr
	f := Check(t.Context(), o)
	if len(f.Problems) != 2 || !strings.Contains(f.Problems[1].Error(), addr+" is in use") {
		t.Errorf("found %v", f.Problems)
	}
	o.TLSKey = ""
	if f := Check(t.Context(), o); len(f.Problems) != 2 || !strings.Contains(f.Problems[0].Error(), "-tls-cert needs -tls-key") {
		t.Errorf("found %v", f.Problems)
	}
}

// TestCheckExpired: an expired certificate is a problem, and one that expires soon is a
// warning.
func TestCheckExpired(t *testing.T) {
	o := options(new(logged))
	o.TLSCert, o.TLSKey = certtest.Write(t, t.TempDir(), -time.Hour, "127.0.0.1")
	f := Check(t.Context(), o)
	if len(f.Problems) != 1 || !strings.Contains(f.Problems[0].Error(), " expired on ") {
		t.Errorf("found %+v", f)
	}
	o.TLSCert, o.TLSKey = certtest.Write(t, t.TempDir(), 49*time.Hour, "127.0.0.1")
	f = Check(t.Context(), o)
	if len(f.Problems) > 0 || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "expires in 2 days") {
		t.Errorf("found %+v", f)
	}
}

// TestCheckFiles: Check finds what would keep the socket, the bans or the history from being
// made, and makes nothing.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	o := options(new(logged))
	o.Control, o.Bans, o.History, o.HistoryFile, o.Admin = at("ctl"), at("bans"), 10, at("history"), "127.0.0.1:0"
	if f := Check(t.Context(), o); len(f.Problems) > 0 || len(f.Warnings) > 0 {
		t.Errorf("found %+v", f)
	}
	if made, err := os.ReadDir(dir); len(made) != 0 || err != nil {
		t.Errorf("Check made %v: %v", made, err)
	}
	s := launch(t, func(other *Options) { *other = o; other.Out = io.Discard })
	f := Check(t.Context(), o)
	if len(f.Problems) != 2 || !strings.Contains(f.Problems[0].Error(), "another chatd listens at") || !strings.Contains(f.Problems[1].Error(), "in use by another server") {
		t.Errorf("beside %s: found %v", s.Addr(), f.Problems)
	}
	o.Control, o.Bans, o.HistoryFile = at("none/ctl"), at("none/bans"), at("none/history")
	if f := Check(t.Context(), o); len(f.Problems) != 3 {
		t.Errorf("in a directory that is not there: found %v", f.Problems)
	}
}
