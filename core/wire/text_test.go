package wire

import (
	"bytes"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestAppendSafe(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"ascii", "hello, world ~", "hello, world ~"},
		{"tab", "a\tb", "a\tb"},
		{"newline fakes no line", "hi\nbob: x", "hi␤bob: x"},
		{"carriage return", "a\rb", "a\ufffdb"},
		{"line end of another system", "a\r\nb", "a\ufffd␤b"},
		{"escape sequence", "\x1b[31mred", "\ufffd[31mred"},
		{"clipboard by OSC 52", "\x1b]52;c;QQ==\x07", "\ufffd]52;c;QQ==\ufffd"},
		{"NUL", "a\x00b", "a\ufffdb"},
		{"delete", "a\x7fb", "a\ufffdb"},
		{"first and last C1", "\u0080\u009f", "\ufffd\ufffd"},
		{"C1 as a sequence introducer", "\u009b31mred", "\ufffd31mred"},
		{"neighbours of C1", "\u00a0\u00bf~", "\u00a0\u00bf~"},
		{"hangul with 9C inside", "\xed\x95\x9c", "한"},
		{"hangul sentence", "안녕하세요 한글", "안녕하세요 한글"},
		{"emoji and marks", "👩‍💻 é", "👩‍💻 é"},
		{"not UTF-8", "\xff\xfe\x9b\x80\xc2", "\xff\xfe\x9b\x80\xc2"},
		{"a rune cut off", "\xed\x95", "\xed\x95"},
		{"C2 before ASCII", "\xc2A\xc2", "\xc2A\xc2"},
		{"C2 before a C1", "\xc2\xc2\x9b", "\xc2\ufffd"},
		{"control in broken UTF-8", "\xed\x95\x1b", "\xed\x95\ufffd"},
		{"a surrogate", "\xed\xa0\x80", "\xed\xa0\x80"},
		{"replacement character", "\ufffd", "\ufffd"},
	}
	for _, c := range cases {
		got := AppendSafe([]byte("before "), []byte(c.in))
		if string(got) != "before "+c.want {
			t.Errorf("%s: %q became %q, want %q", c.name, c.in, got[len("before "):], c.want)
		}
		if IsSafe([]byte(c.in)) != (c.in == c.want) {
			t.Errorf("%s: IsSafe(%q) is %v", c.name, c.in, IsSafe([]byte(c.in)))
		}
	}
}

// Every rune, and every pair of octets, stands on the right side of the rule.
func TestSafeByRuneAndOctet(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		text := utf8.AppendRune(nil, r)
		if want := r == '\t' || !unicode.IsControl(r); IsSafe(text) != want {
			t.Fatalf("IsSafe(%U) is %v", r, !want)
		}
	}
	for a := range 256 {
		for b := range 256 {
			text := []byte{byte(a), byte(b)}
			if IsSafe(text) != bytes.Equal(AppendSafe(nil, text), text) {
				t.Fatalf("IsSafe(% x) is %v, AppendSafe gives % x", text, IsSafe(text), AppendSafe(nil, text))
			}
		}
	}
}

// TestSafeByWord: eight octets that are looked at together are judged as each by itself,
// wherever a pair of octets stands in them or across two of them.
func TestSafeByWord(t *testing.T) {
	for at := range 17 {
		text := bytes.Repeat([]byte{'x'}, 18)
		for a := range 256 {
			for b := range 256 {
				text[at], text[at+1] = byte(a), byte(b)
				if IsSafe(text) != allSafe(text, len(text)) {
					t.Fatalf("IsSafe(% x) is %v", text, IsSafe(text))
				}
			}
		}
	}
}

func TestSafeAllocatesNothing(t *testing.T) {
	text, buf := []byte("한 \x1b[0m \n x"), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { IsSafe(text); AppendSafe(buf, text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSafeText: no control is left, safe text stays, and once is enough.
func FuzzSafeText(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		safe := AppendSafe(nil, text)
		if IsSafe(text) != bytes.Equal(safe, text) {
			t.Fatalf("IsSafe(%q) is %v, AppendSafe gives %q", text, IsSafe(text), safe)
		}
		if !IsSafe(safe) {
			t.Fatalf("%q made safe is %q, which is not", text, safe)
		}
		for _, r := range string(safe) {
			if r != '\t' && unicode.IsControl(r) {
				t.Fatalf("%q made safe is %q, which holds %U", text, safe, r)
			}
		}
		if len(safe) > 3*len(text) {
			t.Fatalf("%d octets grew to %d", len(text), len(safe))
		}
		if utf8.Valid(text) != utf8.Valid(safe) {
			t.Fatalf("%q became %q", text, safe)
		}
	})
}
