package command

import (
	"flag"
	"io"
	"strings"
	"testing"

	"chatbench/server"
)

// What the flags of listeners take, what they show of it, and what they refuse.
func TestListenerFlags(t *testing.T) {
	for _, c := range []struct{ flag, value, shown, refused string }{
		{"tls-min", "1.3", "1.3", ""},
		{"tls-min", "1.2", "1.2", ""},
		{"tls-min", "1.1", "", "it must be 1.3 or 1.2"},
		{"proxy-from", "10.1.2.3/8,192.0.2.1,fd00::/8,::ffff:198.51.100.1", "10.0.0.0/8,192.0.2.1/32,fd00::/8,198.51.100.1/32", ""},
		{"proxy-from", "", "", ""},
		{"proxy-from", "10.0.0.0/8,", "", `"" is no network`},
		{"proxy-from", "10.0.0.0/33", "", `"10.0.0.0/33" is no network`},
		{"proxy-from", "::ffff:10.0.0.0/104", "", "is no network"},
		{"web-origin", "chat.example.org,*.example.com:8443", "chat.example.org,*.example.com:8443", ""},
		{"web-origin", "https://chat.example.org", "", "is no host"},
		{"web-origin", "a,,b", "", `"" is no host`},
		{"web-origin", "[", "", `"[" is no host`},
	} {
		o := server.Defaults()
		fs := flag.NewFlagSet("chatd", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		defineListeners(fs, &o)
		err := fs.Set(c.flag, c.value)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("-%s %q: %v, want %q", c.flag, c.value, err, c.refused)
			}
			continue
		}
		if shown := fs.Lookup(c.flag).Value.String(); err != nil || shown != c.shown {
			t.Errorf("-%s %q: shown as %q, %v; want %q", c.flag, c.value, shown, err, c.shown)
		}
	}
}
