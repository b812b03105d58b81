package command

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"chatbench/internal/cmdline"
)

// TestSettings: every flag gives its value as text that it takes again. Without that
// chatd config could not print it: a flag made by flag.Func forgets what it was set to.
func TestSettings(t *testing.T) {
	newFlags("one").set.VisitAll(func(f *flag.Flag) {
		if cmdline.IsAction(f) {
			return
		}
		if kind := fmt.Sprintf("%T", f.Value); strings.Contains(strings.ToLower(kind), "funcvalue") {
			t.Errorf("-%s is a %s, which does not tell its value", f.Name, kind)
		}
		if err := newFlags("one").set.Set(f.Name, f.Value.String()); err != nil {
			t.Errorf("-%s gives %q, and does not take it: %v", f.Name, f.Value.String(), err)
		}
	})
}

func TestOwnValues(t *testing.T) {
	for _, c := range []struct{ flag, text, want string }{
		{"flood", "off", "off"},
		{"flood", "100/s,burst=20", "100/s,burst=20"},
		{"flood", "1.5k/s,burst=1", "1500/s,burst=1"},
		{"login-throttle", "off", "off"},
		{"login-throttle", "37/h", "37/h"},
		{"p2p-advertise", "claimed", "claimed"},
		{"p2p-advertise", "peer", "peer"},
		{"lag-limit", "1MiB", "1MiB"},
		{"coalesce", "off", "off"},
		{"coalesce", "auto", "auto"},
		{"coalesce", "0.2ms", "200µs"},
	} {
		fs := newFlags("one").set
		if err := fs.Set(c.flag, c.text); err != nil {
			t.Errorf("-%s %s: %v", c.flag, c.text, err)
		}
		first := fs.Lookup(c.flag).Value.String()
		if err := fs.Set(c.flag, first); err != nil || first != c.want || fs.Lookup(c.flag).Value.String() != first {
			t.Errorf("-%s %s gives %q, then %q (%v), want %q", c.flag, c.text, first, fs.Lookup(c.flag).Value, err, c.want)
		}
	}
}
