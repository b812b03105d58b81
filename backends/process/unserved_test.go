package process_test

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/process"
	"chatbench/core"
)

// TestNoDescriptorsForAChild: a client whose login is granted, and whose child cannot be forked, is
// told so. When there are descriptors again, children are forked again.
func TestNoDescriptorsForAChild(t *testing.T) {
	var counters *backends.Counters
	logins := make(chan *core.Login, 1)
	r := open(t, func(room *core.Config, cfg *backends.Config) {
		room.Authenticator = authFunc(func(l *core.Login) { logins <- l })
		counters = cfg.Counters
	})
	c := dial(t, r.server.Addr().String())
	io.WriteString(c, "\x01bob x\x00\x00undelivered\x00")
	login := <-logins
	restore := noDescriptors(t)
	login.Answer(nil)
	got, err := io.ReadAll(c.in)
	restore()
	if want := "\x01granted\x00\x00server: server is full\x00\x03\x00"; err != nil || string(got) != want {
		t.Errorf("%q, %v in place of %q", got, err, want)
	}
	c.Close()
	r.ended(core.ReasonFull, 1)
	if n := counters.NoDescriptors.Load(); n != 1 {
		t.Errorf("%d are counted as turned away, 1 should be", n)
	}
	next := dial(t, r.server.Addr().String())
	io.WriteString(next, "\x01bob x\x00")
	(<-logins).Answer(nil)
	if got, err := next.frame(); got != "\x01granted\x00" {
		t.Errorf("%q, %v in place of granted", got, err)
	}
	if n := process.Forks(r.server); n != 1 {
		t.Errorf("%d children were forked for one client", n)
	}
}

// TestNoSocketPair: if no pair can be made, its descriptors are not 0, which would be closed later.
func TestNoSocketPair(t *testing.T) {
	restore := noDescriptors(t)
	ours, theirs, err := process.SocketPair()
	restore()
	if err != unix.EMFILE || ours >= 0 || theirs >= 0 {
		t.Errorf("descriptors %d and %d, %v in place of none", ours, theirs, err)
	}
}

// noDescriptors lets this process open no more descriptors, until restore is called.
func noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set(unix.Rlimit{Cur: 3, Max: before.Max})
	return func() { set(before) }
}
