package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe makes text from the network safe to show, whatever the server let through.
// Control runes, bytes that are not UTF-8, and runes that are invisible or change the
// direction of writing become U+FFFD; runes that begin a new line become U+2424.
// Zero-width joiners stay where writing needs them: between two letters, and in an
// emoji sequence.
func Safe(text []byte) string {
	var b strings.Builder
	b.Grow(len(text))
	last := rune(0)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text) // not UTF-8: U+FFFD, one byte
		text = text[n:]
		switch {
		case r == '\n' || r == '\u2028' || r == '\u2029':
			r = '\u2424'
		case r == '\t':
		case unicode.IsControl(r) || unicode.Is(hidden, r):
			r = utf8.RuneError
		case r == zeroWidthJoiner || r == zeroWidthNonJoiner:
			if next, _ := utf8.DecodeRune(text); !joins(last, next) {
				r = utf8.RuneError
			}
		}
		b.WriteRune(r)
		last = r
	}
	return b.String()
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// hidden holds the runes that are invisible and change what is seen around them:
// direction marks, embeddings, overrides and isolates, zero-width spaces, tags.
var hidden = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00ad, Hi: 0x00ad, Stride: 1}, // soft hyphen
		{Lo: 0x061c, Hi: 0x061c, Stride: 1}, // Arabic letter mark
		{Lo: 0x180e, Hi: 0x180e, Stride: 1}, // Mongolian vowel separator
		{Lo: 0x200b, Hi: 0x200b, Stride: 1}, // zero-width space
		{Lo: 0x200e, Hi: 0x200f, Stride: 1}, // direction marks
		{Lo: 0x202a, Hi: 0x202e, Stride: 1}, // embeddings and overrides
		{Lo: 0x2060, Hi: 0x206f, Stride: 1}, // word joiner, invisible operators, isolates
		{Lo: 0xfeff, Hi: 0xfeff, Stride: 1}, // byte order mark
		{Lo: 0xfff9, Hi: 0xfffb, Stride: 1}, // interlinear annotation
	},
	R32: []unicode.Range32{
		{Lo: 0xe0000, Hi: 0xe007f, Stride: 1}, // tags
	},
	LatinOffset: 1,
}

// joins says whether a joiner between the two is part of writing.
func joins(before, after rune) bool {
	letters := func(r rune) bool { return unicode.In(r, unicode.L, unicode.M) }
	pictures := func(r rune) bool { return unicode.In(r, unicode.So, unicode.Sk, unicode.Mn) }
	return letters(before) && letters(after) || pictures(before) && pictures(after)
}
