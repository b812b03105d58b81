package accesslog

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/core"
)

// book is a log that can be read while it is being written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newTestLog makes a Log that writes lines without a time. alice is the only user.
func newTestLog(to *book) *Log {
	bare := slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
	return New(Config{Log: slog.New(bare), Known: func(folded string) bool { return folded == "alice" }})
}

func event(addr string, e core.Event) core.Event {
	e.Peer = netip.AddrPortFrom(netip.MustParseAddr(addr), 40112)
	return e
}

// Each kind of event has its line. It has no name if there is no such user.
func TestLines(t *testing.T) {
	out := new(book)
	l := newTestLog(out)
	for _, e := range []core.Event{
		event("::ffff:203.0.113.9", core.Event{Granted: true, Name: "Alice", Folded: "alice"}),
		event("203.0.113.9", core.Event{Name: "Alice", Folded: "alice", Reason: core.ReasonBadType, Stayed: 90*time.Second + 1}),
		event("203.0.113.9", core.Event{Name: "Alice", Folded: "alice", Reason: core.ReasonDenied, Text: "name is taken"}),
		event("2001:db8::1", core.Event{Name: "hunter2", Folded: "hunter2", Reason: core.ReasonDenied, Text: "wrong name or password"}),
		event("203.0.113.9", core.Event{Reason: core.ReasonLoginTimeout}),
		event("203.0.113.9", core.Event{Reason: core.ReasonEOF}),
		event("203.0.113.9", core.Event{Reason: core.ReasonDrain}),
	} {
		l.Observe(e)
	}
	l.Refused(netip.MustParseAddrPort("203.0.113.9:40112"), "tls", "no handshake")
	l.Close()
	l.Close()
	want := `msg=login peer=203.0.113.9:40112 name=Alice
msg=leave peer=203.0.113.9:40112 name=Alice reason=bad-type stayed=1m30s
msg=refused peer=203.0.113.9:40112 name=Alice reason=denied detail="name is taken"
msg=refused peer=[2001:db8::1]:40112 reason=denied detail="wrong name or password"
msg=refused peer=203.0.113.9:40112 reason=login-timeout
msg=refused peer=203.0.113.9:40112 reason=tls detail="no handshake"
`
	if got := out.String(); got != want {
		t.Errorf("the log:\n%swant:\n%s", got, want)
	}
}

// Lines for refusals are bounded for each address and for all; each refusal is in a line or in
// a count.
func TestRefusalsAreBounded(t *testing.T) {
	out := new(book)
	l := newTestLog(out)
	l.Close() // so that only the test writes
	start := l.refused.since
	refuse := func(addr string, n int, at time.Duration) {
		for range n {
			l.line(entry{Event: event(addr, core.Event{Reason: core.ReasonDenied, Text: "no"})}, start.Add(at))
		}
	}
	refuse("203.0.113.9", 500, time.Second)
	refuse("203.0.113.10", perAddress, 2*time.Second)
	refuse("2001:db8::1", 15, 3*time.Second)
	refuse("2001:db8::2", 15, 3*time.Second)
	l.line(entry{Event: event("203.0.113.9", core.Event{Granted: true, Name: "alice"})}, start.Add(4*time.Second)) // not a refusal
	if n := strings.Count(out.String(), "msg=refused"); n != 3*perAddress {
		t.Errorf("%d lines, want %d", n, 3*perAddress)
	}
	if strings.Contains(out.String(), "more") || !strings.Contains(out.String(), "msg=login") {
		t.Errorf("before the minute is over: %s", out.String())
	}
	refuse("203.0.113.9", 1, time.Minute)
	for _, want := range []string{"msg=\"more refused\" from=203.0.113.9 count=480\n", "from=2001:db8:: count=10\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, out.String())
		}
	}
	out.text.Reset()
	const many = perMinute + 3000
	for i := range many {
		refuse(fmt.Sprintf("198.51.%d.%d", i/250, i%250), 1, time.Minute+time.Second)
	}
	lines := strings.Count(out.String(), "\n")
	l.endMinute(start.Add(2*time.Minute), false)
	counted := 0
	for _, line := range strings.Split(out.String(), "\n")[lines:] {
		if _, text, found := strings.Cut(line, "count="); found {
			n := 0
			fmt.Sscan(text, &n)
			counted += n
		}
	}
	if summary := strings.Count(out.String(), "\n") - lines; lines+counted != many || lines > perMinute || summary > maxSummary+1 {
		t.Errorf("%d lines and %d counted in %d of %d refusals", lines, counted, summary, many)
	}
}

// stuck is a writer that blocks until the test lets it write.
type stuck struct {
	begun, turn chan struct{}
	out         *book
}

func (s *stuck) Write(p []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.turn
	return s.out.Write(p)
}

// Observe does not wait for a log that is not read; events without a line are counted.
func TestObserveNeverBlocks(t *testing.T) {
	s := &stuck{make(chan struct{}, 1), make(chan struct{}), new(book)}
	l := New(Config{Log: slog.New(slog.NewTextHandler(s, nil)), Known: func(string) bool { return true }})
	login := event("203.0.113.9", core.Event{Granted: true, Name: "alice"})
	l.Observe(login)
	<-s.begun // the writing goroutine has this one and waits
	const over = 7
	for range maxWaiting + over {
		l.Observe(login)
	}
	if n := l.LeftOut(); n != over {
		t.Errorf("%d left out, want %d", n, over)
	}
	close(s.turn)
	l.Close()
	if n := strings.Count(s.out.String(), "msg=login"); n != maxWaiting+1 || !strings.Contains(s.out.String(), "too slowly\" count=7") {
		t.Errorf("%d lines of %d", n, maxWaiting+1)
	}
}

// With RefusedOnly there are no lines for logins and leaves.
func TestRefusedOnly(t *testing.T) {
	out := new(book)
	l := New(Config{Log: slog.New(slog.NewTextHandler(out, nil)), Known: func(string) bool { return true }, RefusedOnly: true})
	l.Observe(event("203.0.113.9", core.Event{Granted: true, Name: "alice"}))
	l.Observe(event("203.0.113.9", core.Event{Name: "alice", Reason: core.ReasonEOF}))
	l.Observe(event("203.0.113.9", core.Event{Name: "alice", Reason: core.ReasonDenied}))
	l.Close()
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=refused") {
		t.Errorf("the log: %s", got)
	}
}
