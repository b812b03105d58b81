package loglimit

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var l Limit
	now := time.Now()
	const times = 1000
	for i := range times {
		l.log(now.Add(time.Duration(i)), log, slog.LevelWarn, "no", []any{"i", i})
	}
	if n := strings.Count(out.String(), "\n"); n != perWindow {
		t.Errorf("%d lines in a moment, %d at most", n, perWindow)
	}
	out.Reset()
	for range 2 {
		l.log(now.Add(window), log, slog.LevelError, "later", nil)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=ERROR msg=later not_logged=996") || strings.Contains(lines[1], "not_logged") {
		t.Errorf("a window later: %q", lines)
	}
}
