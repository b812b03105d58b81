package gate

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/users"
)

// openGate makes a gate that lets any name in, and has its bans in a file.
func openGate(t *testing.T, path string) *Gate {
	t.Helper()
	g, err := New(Config{Bans: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func mustBan(t *testing.T, g *Gate, target string, d time.Duration) Ban {
	t.Helper()
	ban, err := g.Ban(target, d)
	if err != nil {
		t.Fatalf("ban of %s: %v", target, err)
	}
	return ban
}

// A typed target is one ban, which is written in one way.
func TestBanTargets(t *testing.T) {
	for typed, want := range map[string]string{
		"Bob": "Bob", "203.0.113.9": "203.0.113.9", "::ffff:203.0.113.9": "203.0.113.9", "203.0.113.9/24": "203.0.113.0/24",
		"::ffff:203.0.113.9/120": "203.0.113.0/24", "2001:db8::1": "2001:db8::/64", "2001:db8::1/128": "2001:db8::1/128",
		"2001:db8:1::/48": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/64",
	} {
		ban, err := banOf(typed)
		if err != nil || ban.Target() != want {
			t.Errorf("%s: %s, %v, want %s", typed, ban.Target(), err, want)
		}
		again, err := banOf(ban.Target())
		if again != ban {
			t.Errorf("%s: typed again it is %+v, not %+v, %v", want, again, ban, err)
		}
	}
	for typed, want := range map[string]string{
		"127.0.0.1": "of this machine", "::1": "of this machine", "0.0.0.0/0": "of this machine", "::/0": "of this machine",
		"203.0.113.0/33": "is not a prefix", "a/b": "is not a prefix", "::ffff:0.0.0.0/90": "is not a prefix", "": "neither", "server": "reserved", "a b": "neither",
	} {
		if _, err := banOf(typed); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", typed, err, want)
		}
	}
}

// A ban is in force for addresses and for logins, until it is lifted or has ended.
func TestBanned(t *testing.T) {
	g := openGate(t, "")
	login := func(addr, name string) error {
		answers := make(chan error, 2)
		from := netip.AddrPortFrom(netip.MustParseAddr(addr), 4000)
		g.Authenticate(core.NewLogin(from, name, "x", func(err error) { answers <- err }))
		return <-answers
	}
	mustBan(t, g, "203.0.113.0/24", 0)
	mustBan(t, g, "2001:db8::1", time.Hour)
	mustBan(t, g, "2001:db8:1::/48", 0)
	mustBan(t, g, "Bob", 0)
	for addr, want := range map[string]bool{
		"203.0.113.9": true, "::ffff:203.0.113.9": true, "203.0.114.9": false, "2001:db8::2": true, "2001:db8:0:1::1": false,
		"2001:db8:1:2::3": true, "127.0.0.1": false,
	} {
		if got := g.Banned(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is banned: %v", addr, got)
		}
	}
	if g.Banned(netip.Addr{}) {
		t.Error("no address is banned")
	}
	for _, c := range []struct {
		addr, name string
		want       error
	}{{"192.0.2.1", "bob", errBanned}, {"192.0.2.1", "BOB", errBanned}, {"192.0.2.1", "bobby", nil}, {"203.0.113.9", "alice", errBanned}} {
		if err := login(c.addr, c.name); err != c.want {
			t.Errorf("login of %s from %s: %v, want %v", c.name, c.addr, err, c.want)
		}
	}
	if st := g.Stats(); st.Banned != 3 || st.Right != 1 || st.Bans != 4 {
		t.Errorf("counted: %+v", st)
	}
	if err := g.Unban("203.0.113.7/24"); err != nil {
		t.Error(err)
	}
	if err := g.Unban("bob"); err != nil {
		t.Error(err)
	}
	if err := g.Unban("bob"); err == nil || !strings.Contains(err.Error(), "there is no ban of bob") {
		t.Errorf("lifted twice: %v", err)
	}
	if g.Banned(netip.MustParseAddr("203.0.113.9")) || login("192.0.2.1", "bob") != nil {
		t.Error("a ban that was lifted is in force")
	}
	now := time.Now()
	set := g.bans.now.Load()
	if addr := netip.MustParseAddr("2001:db8::2"); !set.address(addr, now) || set.address(addr, now.Add(2*time.Hour)) || len(set.all(now.Add(2*time.Hour))) != 1 {
		t.Error("a ban of an hour is in force after two")
	}
}

// Bans are kept in a file, from which those that have ended are removed.
func TestBansAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.jsonl")
	g := openGate(t, path)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a file before there is a ban: %v", err)
	}
	mustBan(t, g, "Bob", 0)
	mustBan(t, g, "203.0.113.0/24", time.Hour)
	mustBan(t, g, "203.0.113.0/24", 2*time.Hour) // in place of the first
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), `{"name":"Bob","since":"20`) ||
		!strings.Contains(string(text), `{"prefix":"203.0.113.0/24","since":"`) || strings.Count(string(text), "until") != 1 {
		t.Errorf("the file: %s, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	more := string(text) + "\n" + `{"name":"over","since":"2020-01-01T00:00:00Z","until":"2020-01-02T00:00:00Z"}` + "\n"
	if err := os.WriteFile(path, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	again := openGate(t, path)
	if bans := again.Bans(); len(bans) != 2 || bans[0].Target() != "Bob" || bans[0].folded != "bob" || bans[1].Until.Sub(bans[1].Since) != 2*time.Hour {
		t.Errorf("read again: %+v", bans)
	}
	if err := again.Unban("BOB"); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); strings.Count(string(text), "\n") != 1 || strings.Contains(string(text), "over") {
		t.Errorf("the file after the ban was lifted: %s", text)
	}
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// If the file cannot be written the ban is in force, and the old file is unchanged.
func TestBanNotSaved(t *testing.T) {
	dir := t.TempDir()
	g := openGate(t, filepath.Join(dir, "gone", "bans.jsonl"))
	_, err := g.Ban("bob", 0)
	if !errors.As(err, new(NotSaved)) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "is not saved") {
		t.Errorf("saving where there is no directory: %v", err)
	}
	if len(g.Bans()) != 1 {
		t.Error("the ban is not in force")
	}
}

// A bad file is refused, and the error names the line.
func TestBadBanFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.jsonl")
	const good = `{"name":"bob","since":"2020-01-01T00:00:00Z"}` + "\n"
	for _, bad := range []string{
		`bob`, `{"name":"bob"`, `{"name":"bob","prefix":"203.0.113.0/24"}`, `{}`, `{"since":"2020-01-01T00:00:00Z"}`, `{"name":"a b"}`,
		`{"prefix":"203.0.113.0"}`, `{"prefix":"0.0.0.0/0"}`, `{"name":"bob","until":"tomorrow"}`, `{"name":"bob","wrong":1}`, `{"name":"bob"} {"name":"al"}`,
	} {
		if err := os.WriteFile(path, []byte(good+"\n"+bad+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Config{Bans: path, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), path+":3: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, maxBanFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Bans: path, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "not a bans file") {
		t.Errorf("a huge file: %v", err)
	}
}

// There may be MaxBans bans; one more is an error and changes nothing.
func TestBansAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range MaxBans {
		fmt.Fprintf(&text, "{\"prefix\":\"10.%d.%d.0/%d\"}\n", i/250, i%250, 24+i%8)
	}
	path := filepath.Join(t.TempDir(), "bans.jsonl")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g := openGate(t, path)
	if _, err := g.Ban("bob", 0); err == nil || !strings.Contains(err.Error(), "10001 bans, at most 10000 are allowed") {
		t.Errorf("one more: %v", err)
	}
	if n := len(g.Bans()); n != MaxBans || len(g.bans.now.Load().lengths[0]) != 8 {
		t.Errorf("%d bans", n)
	}
	mustBan(t, g, "10.0.1.0/25", time.Hour) // one that is there already
	if err := os.WriteFile(path, []byte(text.String()+"{\"name\":\"bob\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err == nil || len(g.Bans()) != MaxBans {
		t.Errorf("a file of too many: %v", err)
	}
}

const hashed = ":$2a$10$6JUXRmpa1CYi2qUDRTGBLup4JpU5E4jV/fMMFHGI.AMaVfnTtepYC\n"

// changedHash is another hash.
var changedHash = strings.Replace(hashed, "6JUX", "7JUX", 1)

// After a reload users have to leave who were removed, whose password was changed, or who are
// banned. A bad users or bans file changes nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	usersPath, bansPath := filepath.Join(dir, "users.txt"), filepath.Join(dir, "bans.jsonl")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(usersPath, "alice"+hashed+"bob"+hashed+"carol"+hashed+"dave"+hashed)
	g, err := New(Config{Users: usersPath, Bans: bansPath, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	write(usersPath, "alice"+hashed+"carol"+changedHash+"dave"+hashed)
	write(bansPath, "nonsense\n")
	if _, err := g.Reload(); err == nil || !strings.Contains(err.Error(), bansPath+":1:") || !g.Known("bob") {
		t.Errorf("a bad bans file: %v", err)
	}
	write(bansPath, `{"name":"dave"}`+"\n"+`{"prefix":"203.0.113.0/24"}`)
	write(usersPath, "alice\n")
	if _, err := g.Reload(); err == nil || !strings.Contains(err.Error(), usersPath+":1:") || !g.Known("bob") || len(g.Bans()) != 0 {
		t.Errorf("a bad users file: %v", err)
	}
	write(usersPath, "alice"+hashed+"carol"+changedHash+"dave"+hashed)
	out, err := g.Reload()
	if err != nil {
		t.Fatal(err)
	}
	why := func(name, addr string) (all string) {
		for _, x := range out {
			if x.Who(core.User{Folded: name, Peer: netip.AddrPortFrom(netip.MustParseAddr(addr), 4000)}) {
				all += x.Why + ";"
			}
		}
		return all
	}
	for _, c := range []struct{ name, addr, want string }{
		{"alice", "192.0.2.1", ""}, {"alice", "203.0.113.9", "you are banned;"}, {"bob", "192.0.2.1", "your account was removed;"},
		{"carol", "192.0.2.1", "your password was changed: log in again;"}, {"dave", "192.0.2.1", "you are banned;"},
	} {
		if got := why(c.name, c.addr); got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.name, c.addr, got, c.want)
		}
	}
	if g.Known("bob") || !g.Known("carol") || len(g.Bans()) != 2 {
		t.Error("the files are not in force")
	}
	memory := openGate(t, "")
	mustBan(t, memory, "bob", 0)
	if _, err := memory.Reload(); err != nil || len(memory.Bans()) != 1 {
		t.Errorf("without files: %d bans, %v", len(memory.Bans()), err)
	}
}

// A user whose account or password changes, or who is banned, while the password is hashed, is
// not let in: users who were in the room at the change were kicked, and this one would come later.
func TestChangedWhileHashed(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Gate){
		"removed": func(t *testing.T, g *Gate) { replaceUsers(t, g, "bob"+hashed) },
		"changed": func(t *testing.T, g *Gate) { replaceUsers(t, g, "alice"+changedHash) },
		"banned":  func(t *testing.T, g *Gate) { mustBan(t, g, "alice", 0) },
		"network": func(t *testing.T, g *Gate) { mustBan(t, g, "192.0.2.0/24", 0) },
		"same":    func(t *testing.T, g *Gate) { replaceUsers(t, g, "bob"+hashed+"alice"+hashed) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users.txt")
			if err := os.WriteFile(path, []byte("alice"+hashed), 0o600); err != nil {
				t.Fatal(err)
			}
			g, err := New(Config{Users: path, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			begun, turn := make(chan struct{}), make(chan struct{})
			g.verify = func(*users.Users, string, string) bool { close(begun); <-turn; return true }
			answer := g.ask("192.0.2.1", "alice", "secret")
			<-begun
			change(t, g)
			close(turn)
			if err := <-answer; (err == nil) != (name == "same") {
				t.Errorf("the login: %v", err)
			}
		})
	}
}

func replaceUsers(t *testing.T, g *Gate, text string) {
	t.Helper()
	if err := os.WriteFile(g.cfg.Users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err != nil {
		t.Fatal(err)
	}
}

// The file is replaced as a whole: a process that has opened it reads the old file to its end,
// even if it changes meanwhile.
func TestBansAreNeverHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bans.jsonl")
	g := openGate(t, path)
	mustBan(t, g, "bob", 0)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	mustBan(t, g, "carol", 0)
	if text, err := io.ReadAll(old); err != nil || string(text) != string(before) {
		t.Errorf("the opened file is %q, %v, want %q", text, err, before)
	}
	if now, err := os.ReadFile(path); err != nil || strings.Count(string(now), "\n") != 2 {
		t.Errorf("the new file: %q, %v", now, err)
	}
}
