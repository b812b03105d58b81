package client

import (
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	const bad = "\ufffd"
	for _, c := range []struct{ in, want string }{
		{"hello", "hello"},
		{"한글 \t안녕", "한글 \t안녕"},
		{"hi\nbob: x", "hi\u2424bob: x"},
		{"a\u2028b\u2029c", "a\u2424b\u2424c"},
		{"\x1b[31mred\x1b[0m", bad + "[31mred" + bad + "[0m"},
		{"\x1b]52;c;aGk=\x07", bad + "]52;c;aGk=" + bad},
		{"\u009b31m\u0085\x7f\r", bad + "31m" + bad + bad + bad},
		{"\xff\xed\x95", bad + bad + bad},       // not UTF-8
		{"\x9c한\x9c", bad + "한" + bad},          // a bare C1 octet, and one inside a syllable
		{"\xed\xa0\x80", bad + bad + bad},       // a surrogate
		{"abc\u202edcba", "abc" + bad + "dcba"}, // writing turned around
		{"\u2066x\u2069", bad + "x" + bad},      // isolates
		{"pass\u200bword\ufeff", "pass" + bad + "word" + bad},
		{"\u00ad\u2060\u061c", bad + bad + bad},
		{"\U000e0041", bad},
		{"👩‍👩‍👧 ❤️‍🔥 👋🏽", "👩‍👩‍👧 ❤️‍🔥 👋🏽"}, // joiners that writing needs
		{"می\u200cخواهم", "می\u200cخواهم"},
		{"a \u200d b\u200c", "a " + bad + " b" + bad}, // and some that do not
		{"1\u200d2", "1" + bad + "2"},
		{"", ""},
	} {
		if got := Safe([]byte(c.in)); got != c.want {
			t.Errorf("Safe(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for _, seed := range []string{"hello", "안녕", "\x1b[2J", "\xff\u202e", "👩‍👧"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := Safe(in)
		if !utf8.ValidString(out) {
			t.Fatalf("Safe(%q) = %q is not UTF-8", in, out)
		}
		for _, r := range out {
			if r != '\t' && unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
				t.Fatalf("Safe(%q) = %q holds %U", in, out, r)
			}
		}
		if again := Safe([]byte(out)); again != out {
			t.Fatalf("Safe twice: %q, once: %q", again, out)
		}
	})
}

// The waits grow, stay within bounds, and are random.
func TestBackoff(t *testing.T) {
	b := Backoff{Least: 100 * time.Millisecond, Most: time.Second}
	step := b.Least
	seen := make(map[time.Duration]bool)
	for range 40 {
		d := b.Next()
		if d < step/2 || d > step {
			t.Fatalf("waits %v in a step of %v", d, step)
		}
		seen[d] = true
		step = min(2*step, b.Most)
	}
	if len(seen) < 10 {
		t.Errorf("only %d different waits of 40: no jitter", len(seen))
	}
	b.Reset()
	if d := b.Next(); d > b.Least {
		t.Errorf("after Reset it waits %v", d)
	}
	var zero Backoff
	for range 100 {
		if d := zero.Next(); d <= 0 || d > 5*time.Second {
			t.Fatalf("the zero Backoff waits %v", d)
		}
	}
}
