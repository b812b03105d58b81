package server

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// SIGHUP loads the users file again. A bad file changes nothing. Clients that are logged in
// stay.
func TestReloadOnSIGHUP(t *testing.T) {
	path := usersFile(t)
	writeUsers(t, path, "alice", "bob")
	r := start(t, func(o *Options) { o.Open, o.Users = false, path })
	alice := r.mustLogin("alice", "secret")
	if err := os.WriteFile(path, []byte("alice:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signalSelf(t, unix.SIGHUP)
	waitFor(t, r.log.has(path+":1: alice: not a bcrypt hash"))
	r.mustLogin("bob", "secret") // the old file counts
	writeUsers(t, path, "alice", "carol")
	signalSelf(t, unix.SIGHUP)
	waitFor(t, r.log.has("users=2"))
	carol := r.mustLogin("carol", "secret") // the new one does
	if got := r.denied("dave", "top secret"); got != "wrong name or password" {
		t.Errorf("an unknown user is denied with %q", got)
	}
	if err := carol.Say("hi"); err != nil {
		t.Fatal(err)
	}
	if got := said(t, alice, 1); got[0] != "carol: hi" {
		t.Errorf("alice heard %q", got)
	}
	r.cancel()
	if _, err := r.end(); err != nil {
		t.Error(err)
	}
	if r.log.has("secret")() || r.log.has("dave")() {
		t.Error("the log contains a password, or a name that was not let in")
	}
}

// The error for a file that is bad at the start names the line.
func TestBadUsersFile(t *testing.T) {
	path := usersFile(t)
	if err := os.WriteFile(path, []byte("alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(new(logged))
	o.Open, o.Users = false, path
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), path+":1:") {
		t.Errorf("Start: %v", err)
	}
}
