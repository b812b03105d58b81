package gate

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/core"
)

// A ban that could not be saved stays in force after a reload, which saves it as soon as it can.
// The file is not read as long as a change is missing in it.
func TestReloadKeepsWhatIsNotSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mounted")
	usersPath, bansPath := filepath.Join(t.TempDir(), "users.txt"), filepath.Join(dir, "bans.jsonl")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(usersPath, "alice"+hashed+"bob"+hashed)
	g, err := New(Config{Users: usersPath, Bans: bansPath, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	banned := func(name string) bool {
		return g.bans.expels(core.User{Folded: name, Peer: netip.MustParseAddrPort("192.0.2.1:1")})
	}
	if _, err := g.Ban("bob", 0); !errors.As(err, new(NotSaved)) {
		t.Fatalf("a ban that cannot be saved: %v", err)
	}
	write(usersPath, "bob"+hashed)
	out, err := g.Reload()
	if err == nil || !strings.Contains(err.Error(), "the bans stay as they were") || !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a reload while saving still fails: %v", err)
	}
	if !banned("bob") || g.Known("alice") || len(out) == 0 {
		t.Errorf("after that: bob is banned: %v, alice is a user: %v", banned("bob"), g.Known("alice"))
	}
	write(usersPath, "nonsense")
	if _, err := g.Reload(); err == nil || !strings.Contains(err.Error(), usersPath) || !strings.Contains(err.Error(), "the bans stay as they were") || !banned("bob") {
		t.Errorf("and with a bad users file: %v, bob is banned: %v", err, banned("bob"))
	}
	write(usersPath, "bob"+hashed)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(bansPath, `{"name":"carol"}`+"\n")
	if _, err := g.Reload(); err != nil || !banned("bob") || banned("carol") {
		t.Errorf("a reload when saving works: %v, banned: bob %v, carol %v", err, banned("bob"), banned("carol"))
	}
	if text, err := os.ReadFile(bansPath); err != nil || !strings.Contains(string(text), `"bob"`) {
		t.Errorf("the file: %s, %v", text, err)
	}
	write(bansPath, `{"name":"carol"}`+"\n")
	if _, err := g.Reload(); err != nil || banned("bob") || !banned("carol") {
		t.Errorf("a reload when everything is saved: %v, banned: bob %v, carol %v", err, banned("bob"), banned("carol"))
	}
}

// A bans file that is gone lifts no bans; an empty one lifts all.
func TestReloadWithoutBansFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.jsonl")
	g := openGate(t, path)
	if _, err := g.Reload(); err != nil {
		t.Errorf("before there is a ban: %v", err)
	}
	mustBan(t, g, "bob", 0)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err == nil || !strings.Contains(err.Error(), "bans stay as they were: gate: "+path+" is gone") || len(g.Bans()) != 1 {
		t.Errorf("the file is gone: %v, %d bans", err, len(g.Bans()))
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err != nil || len(g.Bans()) != 0 {
		t.Errorf("the file is empty: %v, %d bans", err, len(g.Bans()))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err != nil {
		t.Errorf("no bans, no file: %v", err)
	}
}

// The log says how many users and bans were read.
func TestReloadIsLogged(t *testing.T) {
	dir := t.TempDir()
	usersPath, bansPath := filepath.Join(dir, "users.txt"), filepath.Join(dir, "bans.jsonl")
	for path, text := range map[string]string{usersPath: "alice" + hashed + "bob" + hashed, bansPath: `{"name":"bob"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for users, want := range map[string]string{usersPath: `msg="loaded again" bans=1 users=2`, "": `msg="loaded again" bans=1` + "\n"} {
		var log bytes.Buffer
		g, err := New(Config{Users: users, Bans: bansPath, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if _, err := g.Reload(); err != nil || !strings.Contains(log.String(), want) {
			t.Errorf("%v, the log says %s, want %s", err, log.String(), want)
		}
	}
}
