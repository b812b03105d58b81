package server

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/units"
)

// SIGHUP takes the users file as it is now; a bad one changes nothing; who is
// logged in stays so.
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
	if got := r.denied("dave", "top secret"); got != errWrong.Error() {
		t.Errorf("who is unknown is denied with %q", got)
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
		t.Error("the log holds a password, or a name that was not let in")
	}
}

// newTestGate is a gate where alice's password is apple and hashing takes no time.
func newTestGate(t *testing.T, log *logged, rate units.Rate) *gate {
	t.Helper()
	o := options(log)
	o.Users, o.LoginThrottle = usersFile(t), rate
	if err := os.WriteFile(o.Users, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := newGate(o)
	if err != nil {
		t.Fatal(err)
	}
	g.verify = func(name, password string) bool { return name == "alice" && password == "apple" }
	t.Cleanup(g.close)
	return g
}

// Of many wrong passwords only so many are looked at; the answer does not tell
// which names exist, and right passwords cost nothing.
func TestThrottledLogins(t *testing.T) {
	log := new(logged)
	g := newTestGate(t, log, units.Rate(3.0/60))
	ask := func(name, password string) error {
		answers := make(chan error, 2) // a second answer would show
		g.Authenticate(core.NewLogin(peer, name, password, func(err error) { answers <- err }))
		return <-answers
	}
	for range 20 {
		if err := ask("alice", "apple"); err != nil {
			t.Fatalf("the right password: %v", err)
		}
	}
	for _, user := range []string{"alice", "mallory"} {
		var denials []error
		for i := range 5 {
			denials = append(denials, ask(user, fmt.Sprint("wrong", i)))
		}
		if want := []error{errWrong, errWrong, errWrong, errThrottled, errThrottled}; !slices.Equal(denials, want) {
			t.Errorf("%s: denied with %v, want %v", user, denials, want)
		}
	}
	if err := ask("ALICE", "apple"); err != errThrottled {
		t.Errorf("the right password after too many wrong ones: %v", err)
	}
	c := &g.counts
	if c.right.Load() != 20 || c.wrong.Load() != 6 || c.throttled.Load() != 5 {
		t.Errorf("counted %d right, %d wrong, %d throttled", c.right.Load(), c.wrong.Load(), c.throttled.Load())
	}
	for _, part := range []string{"wrong0", "mallory"} {
		if log.has(part)() {
			t.Errorf("the log holds %q", part)
		}
	}
}

// More logins at once than can be hashed: the rest is told so, at once.
func TestBusy(t *testing.T) {
	g := newTestGate(t, new(logged), 0)
	g.pool.close()
	g.pool = newPool(1, 1)
	begun, release := make(chan struct{}), make(chan struct{})
	g.pool.submit(job{gone: stays, work: func() error { close(begun); <-release; return nil }, done: func(error) {}})
	<-begun
	const logins = 5
	answers := make(chan error, 2*logins)
	for range logins {
		g.Authenticate(core.NewLogin(peer, "alice", "apple", func(err error) { answers <- err }))
	}
	for range logins - 1 {
		if err := <-answers; err != errBusy {
			t.Errorf("over the bound: %v, want %v", err, errBusy)
		}
	}
	close(release)
	if err := <-answers; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
	if g.counts.busy.Load() != logins-1 || g.counts.right.Load() != 1 {
		t.Errorf("counted %d busy, %d right", g.counts.busy.Load(), g.counts.right.Load())
	}
}

// A file that is bad at the start is refused with its line.
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
