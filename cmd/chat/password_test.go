package main

import (
	"path/filepath"
	"strings"
	"testing"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
	"chatbench/core/users"
	"chatbench/server"
)

// A server that comes back and does not take the password any more asks for it, unseen,
// until it is right. The draft stays.
func TestPasswordChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	for _, name := range []string{"alice", "bob"} {
		if err := users.Add(file, name, "old"); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(o *server.Options) { o.Open, o.Users = false, file }
	s, stop := serve(t, "127.0.0.1:0", keep)
	addr := s.Addr().String()
	p := ptytest.Start(t, []string{"CHAT_PASSWORD=old", "NO_COLOR=1"}, "chat", "-server", addr, "-user", "alice")
	p.AwaitLast("alice>")
	p.Type("draft")
	p.AwaitLast("alice> draft")
	stop()
	if err := users.SetPassword(file, "alice", "brandnew"); err != nil {
		t.Fatal(err)
	}
	serve(t, addr, keep)
	for _, keys := range []string{"geheim\r", "brandmx\x7f\x7fnew\r"} {
		p.Await("the server does not let us in: denied: wrong name or password")
		p.Await("type your password and Enter")
		p.AwaitLast("alice? draft")
		p.Type(keys)
	}
	p.Await("back at " + addr)
	p.AwaitLast("alice> draft")
	bob, err := client.Dial(t.Context(), client.Config{Server: addr, User: "bob", Password: "old"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bob.Close)
	p.Type("!\r")
	if got := heard(t, bob, "alice"); got != "draft!" {
		t.Errorf("arrived %q", got)
	}
	if strings.Contains(p.Seen(), "geheim") || strings.Contains(p.Seen(), "brand") {
		t.Error("the password was shown")
	}
}

// One may leave instead.
func TestPasswordChangedAndLeft(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.txt")
	if err := users.Add(file, "alice", "old"); err != nil {
		t.Fatal(err)
	}
	keep := func(o *server.Options) { o.Open, o.Users = false, file }
	s, stop := serve(t, "127.0.0.1:0", keep)
	addr := s.Addr().String()
	p := ptytest.Start(t, []string{"CHAT_PASSWORD=old"}, "chat", "-server", addr, "-user", "alice")
	p.Await("alice> ")
	stop()
	if err := users.SetPassword(file, "alice", "brandnew"); err != nil {
		t.Fatal(err)
	}
	serve(t, addr, keep)
	p.Await("type your password and Enter")
	p.Type("bra\x03")
	if code := p.Exit(); code != 0 || !p.Echoes() {
		t.Errorf("exit code %d, terminal as before: %v", code, p.Echoes())
	}
}
