package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// IsSafe says whether text can be shown on a terminal as it is: it has no control
// rune except TAB. It ignores bytes that are not UTF-8; who shows the text has to
// handle them.
func IsSafe(text []byte) bool {
	for len(text) >= word {
		if !isPlain(binary.NativeEndian.Uint64(text)) && !allSafe(text, word) {
			return false
		}
		text = text[word:]
	}
	return allSafe(text, len(text))
}

// Eight octets at a time.
const (
	word  = 8
	ones  = 0x0101010101010101
	tops  = 0x80 * ones
	blank = ' ' * ones
)

// isPlain says whether all eight octets are printable ASCII. An octet that is not has its top
// bit set after 1 was added (7F to FE) or after 0x20 was subtracted (A0 to FF and 00 to 1F). A
// printable octet causes no carry, so the lowest octet that is not printable is always found,
// whatever it carries into those above it.
func isPlain(w uint64) bool { return ((w+ones)|(w-blank))&tops == 0 }

// allSafe is IsSafe of the first n octets of text, one by one.
func allSafe(text []byte, n int) bool {
	for i, c := range text[:n] {
		switch {
		case c < 0x20 && c != '\t' || c == 0x7f:
			return false
		case c == 0xc2 && i+1 < len(text) && text[i+1] >= 0x80 && text[i+1] <= 0x9f:
			// The C1 controls are C2 80 to C2 9F, and C2 never stands inside
			// another rune.
			return false
		}
	}
	return true
}

// AppendSafe appends text made safe for a terminal: each control rune (C0 except
// TAB, DEL, C1) becomes U+FFFD, a newline U+2424. It works by rune, so that a
// byte like 9C inside a Hangul syllable is kept. Bytes that are not UTF-8 are
// copied unchanged.
func AppendSafe(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\n':
			dst = utf8.AppendRune(dst, '\u2424')
		case r < 0x20 && r != '\t' || r >= 0x7f && r <= 0x9f:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

// SplitName splits the body of a File frame into the name and what follows it
// from the first space on, including that space. rest is empty if there is no
// space.
func SplitName(body []byte) (name, rest []byte) {
	if i := bytes.IndexByte(body, ' '); i >= 0 {
		return body[:i], body[i:]
	}
	return body, nil
}
