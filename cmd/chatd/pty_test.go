package main

import (
	"path/filepath"
	"strings"
	"testing"

	"chatbench/cmd/internal/ptytest"
	"chatbench/core/users"
)

// On a terminal a new password is asked for twice, and never shown.
func TestPasswordOnATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	for _, c := range []struct {
		first, second string
		code          int
	}{
		{"top secret", "top secrat", 1},
		{"top secret", "top secret", 0},
	} {
		p := ptytest.Start(t, nil, "chatd", "user", "add", path, "alice")
		p.Await("Password: ")
		p.AwaitHidden()
		p.Type(c.first + "\r")
		p.Await("Once more: ")
		p.AwaitHidden()
		p.Type(c.second + "\r")
		if code := p.Exit(); code != c.code || !p.Echoes() {
			t.Errorf("exit code %d, want %d; terminal as before: %v", code, c.code, p.Echoes())
		}
		if strings.Contains(p.Seen(), "secr") {
			t.Error("the password was shown")
		}
	}
	known, err := users.Load(path)
	if err != nil || known.Len() != 1 {
		t.Errorf("the user is not there: %v", err)
	}
}
