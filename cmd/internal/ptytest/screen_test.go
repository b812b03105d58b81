package ptytest

import (
	"slices"
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	long := strings.Repeat("x", columns)
	for _, c := range []struct {
		sent string
		want []string
	}{
		{"hello\r\nworld", []string{"hello", "world"}},
		{"hello\rj", []string{"jello"}},
		{"안녕\x1b[2D하", []string{"안하"}},
		{"안녕\x1b[1G\x1b[Jx", []string{"x"}},
		{"one\r\ntwo\r\nthree\x1b[2A\x1b[Kx", []string{"one  x", "two", "three"}},
		{"one\r\ntwo\r\nthree\x1b[1A\x1b[1G\x1b[J", []string{"one", ""}},
		{"\x1b[31mred\x1b[0m\a", []string{"red"}},
		{long + "y", []string{long, "y"}},
		{long + "\r\ny", []string{long, "y"}},
		{long[1:] + "한", []string{long[1:], "한"}}, // a wide rune does not fit into one column
		{"e\u0301!", []string{"e\u0301!"}},
		{"\u1112\u1161\u11ab\b\bx", []string{"x"}}, // 한 of three jamo is one
	} {
		var whole, split screen
		whole.write([]byte(c.sent))
		for i := range len(c.sent) {
			split.write([]byte(c.sent[i : i+1]))
		}
		if got := whole.text(); !slices.Equal(got, c.want) || !slices.Equal(split.text(), c.want) || whole.unknown != "" {
			t.Errorf("%q shows %q and, octet by octet, %q; want %q (%s)", c.sent, got, split.text(), c.want, whole.unknown)
		}
	}
	var s screen
	s.write([]byte("above\r\n" + long + "\r\n" + long[:70]))
	s.resize(60)
	s.write([]byte("z\r\x1b[3A\x1b[Ky"))
	if want := []string{"above", "y", long[60:], long[:60], long[60:70] + "z"}; !slices.Equal(s.text(), want) {
		t.Errorf("narrower it shows %q, want %q", s.text(), want)
	}
	for _, odd := range []string{"\x1b[5n", "\x1bc", "\x1b[2J", "\x01", "\x1b[1;5H"} {
		var s screen
		if s.write([]byte(odd)); s.unknown == "" {
			t.Errorf("%q is not noted as unknown", odd)
		}
	}
}
