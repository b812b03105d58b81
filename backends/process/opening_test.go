package process

import (
	"strings"
	"testing"
)

// TestPreamble: the preamble ends with the first frame, however it is split in two, and also
// after a PROXY header. An invalid frame has no end.
func TestPreamble(t *testing.T) {
	const (
		signature = "\r\n\r\n\x00\r\nQUIT\n"
		first     = "\x01bob x\x00"
		more      = "\x00hello\x00\x00hal"
	)
	for name, c := range map[string]struct{ in, behind string }{
		"a login":                {first, more},
		"a frame of two octets":  {"\x03\x00", more},
		"a command that is NUL":  {"\x02\x00bob\x00", more},
		"version 1":              {"PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n" + first, more},
		"version 1, of nonsense": {"P\x00\x09\n" + first, more},
		"version 2":              {signature + "\x21\x11\x00\x0c" + strings.Repeat("\x09", 12) + first, more},
		"version 2, empty":       {signature + "\x20\x00\x00\x00" + first, more},
		"version 2, 258 follow":  {signature + "\x21\x11\x01\x02" + strings.Repeat("\n", 258) + first, more},
		"an unknown type":        {"\x09bob x\x00" + more, ""},
		"an unknown command":     {"\x02\x07bob\x00" + more, ""},
		"a second header":        {"P\nP\n" + first + more, ""},
		"no end":                 {"\x01bob", ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := c.in + c.behind
			for cut := range len(all) + 1 {
				h, taken, over := new(preamble), 0, false
				for _, piece := range []string{all[:cut], all[cut:]} {
					if !over && piece != "" {
						var n int
						n, over = h.take([]byte(piece))
						taken += n
					}
				}
				if want := c.behind != ""; taken != len(c.in) || over != want {
					t.Fatalf("cut after %d octets: %d are taken, it ends: %v; want %d, %v", cut, taken, over, len(c.in), want)
				}
				if c.behind == "" {
					return // it is not asked again after an error
				}
			}
		})
	}
}
