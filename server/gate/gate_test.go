package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/units"
	"chatbench/core/users"
)

// newTestGate makes a gate in which alice's password is apple and hashing takes no time. For its
// throttle no time passes.
func newTestGate(t *testing.T, rate units.Rate) *Gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.txt")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{Users: path, Throttle: rate, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.verify = func(_ *users.Users, name, password string) bool { return name == "alice" && password == "apple" }
	made := time.Now()
	g.now = func() time.Time { return made }
	t.Cleanup(g.Close)
	return g
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("timed out")
		}
		time.Sleep(time.Millisecond)
	}
}

var peer = netip.MustParseAddrPort("192.0.2.1:4000")

// Only a limited number of wrong passwords is checked. The answer does not reveal which names
// exist, and right passwords do not count.
func TestThrottledLogins(t *testing.T) {
	g := newTestGate(t, units.Rate(3.0/60))
	ask := func(name, password string) error {
		answers := make(chan error, 2) // with room for a second answer, which would be a bug
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
}

// Logins beyond the queue's bound are refused at once.
func TestBusy(t *testing.T) {
	g := newTestGate(t, 0)
	g.pool.close()
	g.pool = newPool(1, 1)
	begun, release := make(chan struct{}), make(chan struct{})
	g.pool.submit(job{gone: neverGone, work: func() error { close(begun); <-release; return nil }, done: func(error) {}})
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

// A client that waits for something else after its login is let in if neither users nor bans were
// changed meanwhile. A client that is refused stays refused.
func TestEntering(t *testing.T) {
	g := newTestGate(t, 0)
	taken := errors.New("name is taken")
	for _, tt := range []struct {
		change    bool
		err, want error
	}{{false, nil, nil}, {false, taken, taken}, {true, nil, errChanged}, {true, taken, taken}} {
		enter := g.Entering()
		if tt.change {
			if _, err := g.Ban("192.0.2.9", time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		got := errBusy
		in := enter(core.NewLogin(peer, "alice", "", func(err error) { got = err }), tt.err)
		if got != tt.want || in != (tt.want == nil) {
			t.Errorf("%+v: answered with %v, in %v", tt, got, in)
		}
	}
}
