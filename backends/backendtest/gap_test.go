package backendtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"chatbench/backends"
	"chatbench/backends/goroutine"
)

// TestGap: a case that is listed as a gap counts as one as long as it fails, in
// whichever way.
func TestGap(t *testing.T) {
	var order []string
	note := func(h *harness, name string) { h.Cleanup(func() { order = append(order, name) }) }
	for _, c := range []struct {
		name string
		run  func(*harness)
		want string
	}{
		{"passes", func(h *harness) { note(h, "a"); note(h, "b") }, ""},
		{"error", func(h *harness) { h.Errorf("first %d", 1); h.Errorf("second") }, "first 1"},
		{"fatal", func(h *harness) { note(h, "c"); h.Fatalf("stop"); note(h, "never") }, "stop"},
		{"panic", func(h *harness) { note(h, "d"); panic("no") }, "panic: no"},
		{"in cleanup", func(h *harness) { note(h, "e"); h.Cleanup(func() { h.Fatalf("late") }) }, "late"},
		{"in start", func(h *harness) { h.open() }, "Start: refused"},
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

// logging is a tester that also records what is logged.
type logging struct {
	recorder
	lines []string
}

func (l *logging) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// TestWhyItEnded: a case that fails logs for which reasons connections have ended; one
// that passes logs nothing.
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
			defer log.runCleanups()
			log.catchPanic(func() {
				r := (&harness{tester: log, backend: goroutine.Backend, timeout: timeout}).open()
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

// TestNames: the names of cases are unique, in lower case and without spaces.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] || s.name != strings.ToLower(s.name) || strings.Contains(s.name, " ") {
			t.Errorf("%q is used twice, or is not in lower case without spaces", s.name)
		}
		seen[s.name] = true
	}
}
