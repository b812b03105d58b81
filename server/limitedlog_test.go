package server

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A second has so many lines, and one that counts the rest.
func TestLimitedLog(t *testing.T) {
	out := new(logged)
	l := newLimitedLog(slog.New(slog.NewTextHandler(out, nil)), "wrong")
	now := time.Unix(1000, 0)
	lines := func(part string) int {
		out.mu.Lock()
		defer out.mu.Unlock()
		return strings.Count(out.text.String(), part)
	}
	for i := range 1000 {
		l.info(now.Add(time.Duration(i)*time.Millisecond/2), "peer", "192.0.2.1") // half a second
	}
	l.tick(now.Add(900 * time.Millisecond))
	if n := lines("peer=192.0.2.1"); n != linesPerSecond || lines("more") != 0 {
		t.Errorf("%d lines in a second, want %d", n, linesPerSecond)
	}
	l.tick(now.Add(time.Second))
	l.tick(now.Add(1100 * time.Millisecond))
	if lines("990 more like that in the last second") != 1 || lines("\n") != linesPerSecond+1 {
		t.Errorf("the log after the second:\n%s", out.text.String())
	}
	for range linesPerSecond + 5 {
		l.info(now.Add(2*time.Second), "peer", "192.0.2.2")
	}
	l.info(now.Add(3*time.Second), "peer", "192.0.2.3") // says it without a tick
	if lines("\"5 more like") != 1 || lines("192.0.2.2") != linesPerSecond || lines("192.0.2.3") != 1 {
		t.Errorf("the log after the next seconds:\n%s", out.text.String())
	}
	for range linesPerSecond {
		l.info(now.Add(3*time.Second), "peer", "192.0.2.3")
	}
	l.flush()
	l.flush()
	if lines("\"1 more like") != 1 {
		t.Errorf("the log at the end:\n%s", out.text.String())
	}
}
