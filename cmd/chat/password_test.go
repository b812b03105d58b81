package main

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	_ "unsafe" // for go:linkname

	"golang.org/x/crypto/bcrypt"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
	"chatbench/core/users"
	"chatbench/server"
	ctl "chatbench/server/control"
)

// The bcrypt costs of package users, as its own tests lower them. The server hashes on threads of
// low priority: beside other processes a usual hash can take them longer than a login may.
//
//go:linkname newCost chatbench/core/users.newCost
//go:linkname leastCost chatbench/core/users.leastCost
var newCost, leastCost int

// passwordChanged starts chat as alice, and types a draft. Then alice's password becomes
// "brandnew", and the server is restarted at addr, with another user, bob.
func passwordChanged(t *testing.T, draft string) (p *ptytest.Terminal, addr string) {
	t.Helper()
	usual := newCost
	newCost, leastCost = bcrypt.MinCost, bcrypt.MinCost
	t.Cleanup(func() { newCost, leastCost = usual, usual })
	file := filepath.Join(t.TempDir(), "users.txt")
	for _, name := range []string{"alice", "bob"} {
		if err := users.Add(file, name, "old"); err != nil {
			t.Fatal(err)
		}
	}
	withUsers := func(o *server.Options) { o.Open, o.Users = false, file }
	s, stop := serve(t, again(t), withUsers)
	addr = s.Addr().String()
	p = ptytest.Start(t, []string{"CHAT_PASSWORD=old", "NO_COLOR=1"}, "chat", "-server", addr, "-user", "alice")
	p.AwaitLast("alice>")
	p.Type(draft)
	p.AwaitLast("alice> " + draft)
	stop()
	if err := users.SetPassword(file, "alice", "brandnew"); err != nil {
		t.Fatal(err)
	}
	serve(t, addr, withUsers)
	return p, addr
}

// If the server no longer accepts the password after a restart, chat asks for it until
// it is right, without showing it. The line being typed stays.
func TestPasswordChanged(t *testing.T) {
	p, addr := passwordChanged(t, "draft")
	for _, keys := range []string{"geheim\r", "brandmx\x7f\x7fnew\r"} {
		p.Await("cannot log in: denied: wrong name or password")
		p.Await("type your password and Enter")
		p.AwaitLast("alice? draft")
		p.Type(keys)
	}
	p.Await("reconnected to " + addr)
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

// All other errors are reported before the password is asked for.
func TestWrongBeforePassword(t *testing.T) {
	for flag, want := range map[string]string{
		"-server=127.0.0.1": "is not HOST:PORT", "-user=two words": "must not be empty or contain a space",
		"-share=/nowhere": "cannot share", "-share-address=0.0.0.0": "nobody can connect", "-ca=x": "needs -tls",
	} {
		p := ptytest.Start(t, nil, "chat", "-user", "alice", flag)
		if code := p.Exit(); code == 0 {
			t.Errorf("%s: exit code 0", flag)
		}
		p.Await(want)
		if strings.Contains(p.Seen(), "Password") {
			t.Errorf("%s: the password is asked for", flag)
		}
	}
}

// A client that is kicked or banned does not reconnect, and shows why. The line being
// typed stays on the screen.
func TestRemoved(t *testing.T) {
	control := filepath.Join(t.TempDir(), "ctl")
	s, _ := serve(t, "127.0.0.1:0", func(o *server.Options) { o.Control = control })
	for command, reason := range map[string]string{"kick": "you were asked to leave", "ban": "you are banned"} {
		p := ptytest.Start(t, environment("NO_COLOR=1"), "chat", "-server", s.Addr().String(), "-user", "alice")
		p.AwaitLast("alice>")
		p.Type("draft")
		p.AwaitLast("alice> draft")
		if a, err := ctl.Ask(control, ctl.Request{Command: command, Target: "alice"}); err != nil || a.Ended != 1 {
			t.Fatalf("%s: %+v, %v", command, a, err)
		}
		p.Await("server: " + reason + "\r\n")
		p.Await("chat: removed from the room: " + reason + "\r\n")
		if code := p.Exit(); code != 1 || !p.Echoes() {
			t.Errorf("%s: exit code %d, terminal as before: %v", command, code, p.Echoes())
		}
		if rows := p.Rows(); !slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(row, "alice! draft") }) {
			t.Errorf("%s: the draft is not on the screen:\n%s", command, strings.Join(rows, "\n"))
		}
		ctl.Ask(control, ctl.Request{Command: "unban", Target: "alice"})
	}
	if n := s.Snapshot().Logins; n != 2 {
		t.Errorf("%d logins, want one for each", n)
	}
}

// While chat asks for the password, a signal and Ctrl-C end it, and restore the terminal.
func TestLeavingAtTheQuestion(t *testing.T) {
	for name, leave := range map[string]func(*ptytest.Terminal){
		"signal": func(p *ptytest.Terminal) { p.Signal(syscall.SIGTERM) },
		"Ctrl-C": func(p *ptytest.Terminal) { p.Type("bra\x03") },
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := passwordChanged(t, "")
			p.Await("type your password and Enter")
			leave(p)
			if code := p.Exit(); code != 0 || !p.Echoes() {
				t.Errorf("exit code %d, terminal as before: %v", code, p.Echoes())
			}
		})
	}
}
