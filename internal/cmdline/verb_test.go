package cmdline

import (
	"flag"
	"strings"
	"testing"
)

// ParseVerb takes flags before and after arguments, refuses arguments where there are none, and
// prints help.
func TestParseVerb(t *testing.T) {
	for _, c := range []struct {
		arguments, args, rest, help, err string
		rate                             int
	}{
		{"", "-rate 3", "", "", "", 3},
		{"", "", "", "", "", 1},
		{"", "-rate 3 x", "", "", `no argument "x" is known`, 3},
		{"", "x -nonsense", "", "", `no argument "x" is known`, 1},
		{"", "-nonsense", "", "", "-nonsense: see tool go -h", 1},
		{"DIR...", "a -rate 3 b", "a b", "", "", 3},
		{"DIR...", "a -nonsense", "", "", "-nonsense", 1},
		{"DIR...", "a -h", "", "usage: tool go [flags] DIR...\n\n", "", 1},
		{"", "-h", "", "usage: tool go [flags]\n\n", "", 1},
	} {
		f := flag.NewFlagSet("go", flag.ContinueOnError)
		rate := f.Int("rate", 1, "`N` a second")
		var out strings.Builder
		help, err := ParseVerb("tool", f, c.arguments, strings.Fields(c.args), &out)
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.args, err, c.err)
		}
		if help != (c.help != "") || !strings.HasPrefix(out.String(), c.help) || help && !strings.Contains(out.String(), "-rate N") || !help && out.Len() > 0 {
			t.Errorf("%q: help %v, %q", c.args, help, out.String())
		}
		if rest := strings.Join(f.Args(), " "); !help && err == nil && rest != c.rest || *rate != c.rate {
			t.Errorf("%q: arguments %q and rate %d, want %q and %d", c.args, rest, *rate, c.rest, c.rate)
		}
	}
}
