package backendtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"chatbench/backends"
	"chatbench/backends/goroutine"
)

// TestGap looks at how a case that is listed as a gap is judged: it is only a
// gap as long as it fails, in whichever way.
func TestGap(t *testing.T) {
	var order []string
	note := func(l *lab, name string) { l.Cleanup(func() { order = append(order, name) }) }
	for _, c := range []struct {
		name string
		run  func(*lab)
		want string
	}{
		{"passes", func(l *lab) { note(l, "a"); note(l, "b") }, ""},
		{"error", func(l *lab) { l.Errorf("first %d", 1); l.Errorf("second") }, "first 1"},
		{"fatal", func(l *lab) { note(l, "c"); l.Fatalf("stop"); note(l, "never") }, "stop"},
		{"panic", func(l *lab) { note(l, "d"); panic("no") }, "panic: no"},
		{"in cleanup", func(l *lab) { note(l, "e"); l.Cleanup(func() { l.Fatalf("late") }) }, "late"},
		{"in start", func(l *lab) { l.open() }, "Start: refused"},
	} {
		b := backends.Backend{Start: func(backends.Config) (backends.Server, error) { return nil, errors.New("refused") }}
		if got := failureOf(t.Name(), scenario{c.name, c.run}, b); got != c.want {
			t.Errorf("%s: failed with %q, want %q", c.name, got, c.want)
		}
	}
	if got := strings.Join(order, ""); got != "bacde" {
		t.Errorf("cleanups ran as %q", got)
	}
}

// logging is a tester that notes what is logged too.
type logging struct {
	recorder
	lines []string
}

func (l *logging) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// TestWhyItEnded: a case that fails at the end of a client's stream says for what
// reason connections have ended; one that passes says nothing.
func TestWhyItEnded(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(*rig, *client)
		want string
	}{
		{"fails", func(r *rig, c *client) { c.send([]byte{9}); c.untilEOF(); c.expectChat("alice: hello") }, "bad-type=1"},
		{"passes", func(r *rig, c *client) { c.send([]byte{9}); c.untilEOF() }, ""},
	} {
		log := &logging{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer log.cleanUp()
			log.protect(func() {
				r := (&lab{tester: log, backend: goroutine.Backend, patience: patience}).open()
				c.run(r, r.login("alice"))
			})
		}()
		<-done
		got := strings.Join(log.lines, " ")
		if log.Failed() != (c.want != "") || !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: failed with %q, and logged %q", c.name, log.failure, got)
		}
	}
}

// TestNames: the suite's names are flags for those who list gaps.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] || s.name != strings.ToLower(s.name) || strings.Contains(s.name, " ") {
			t.Errorf("%q is used twice, or is no name", s.name)
		}
		seen[s.name] = true
	}
}
