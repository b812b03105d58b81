package core

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"chatbench/core/wire"
)

const (
	maxName = 64 // octets of a name in NFC
	// maxNameGiven bounds a name before normalization, in octets: decomposed it is at
	// most three times as long as in NFC.
	maxNameGiven = 3 * maxName
	maxMarks     = 4 // marks on one letter; more would cover the lines above
)

// What is wrong with a name, for the user.
var (
	errNameEmpty     = errors.New("name is empty")
	errNameLong      = errors.New("name is longer than 64 bytes")
	errNameUTF8      = errors.New("name is not UTF-8")
	errNameDots      = errors.New("name is only dots")
	errNameSpace     = errors.New("name contains a space")
	errNameSign      = errors.New("name contains a colon, a slash or a backslash")
	errNameControl   = errors.New("name contains a control character")
	errNameInvisible = errors.New("name contains an invisible character")
	errNameOther     = errors.New("name contains a character that is not a letter, a digit or ASCII punctuation")
	errNameMarks     = errors.New("name contains an accent without a letter, or too many on one letter")
	errNameScripts   = errors.New("name mixes scripts")
	errNameLookalike = errors.New("name looks like Latin letters but is in another script")
	errNameReserved  = errors.New("name is reserved")
)

// checkName decides whether name may log in. canonical is the name in NFC, as
// it is shown; folded is the name as it is compared. It refuses names that look
// like another name, that break a line, or that nobody can type.
func checkName(name []byte) (canonical, folded string, err error) {
	switch {
	case len(name) == 0:
		return "", "", errNameEmpty
	case len(name) > maxNameGiven:
		return "", "", errNameLong
	case !utf8.Valid(name):
		return "", "", errNameUTF8
	}
	canonical = norm.NFC.String(string(name))
	switch {
	case len(canonical) > maxName:
		return "", "", errNameLong
	case canonical == "." || canonical == "..":
		return "", "", errNameDots
	}
	if err := checkRunes(canonical); err != nil {
		return "", "", err
	}
	folded = fold(canonical)
	if err := checkReading(canonical, folded); err != nil {
		return "", "", err
	}
	return canonical, folded, nil
}

// foldName is the form in which names are compared, for looking one up; "", which
// is nobody's name, if name cannot be one.
func foldName(name []byte) string {
	if len(name) > maxNameGiven || !utf8.Valid(name) {
		return ""
	}
	return fold(norm.NFC.String(string(name)))
}

// fold folds the case of a name in NFC. Folding can leave NFC: it is brought back.
func fold(canonical string) string {
	return norm.NFC.String(cases.Fold().String(canonical))
}

// asciiFolded says whether name is ASCII and its own folded form, so that a
// look-up needs no copy of it.
func asciiFolded(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// checkRunes checks each rune of a name, the marks on letters, and the scripts.
func checkRunes(name string) error {
	var scripts scriptSet
	marks := 0
	for i, r := range name {
		if err := checkRune(r); err != nil {
			return err
		}
		if marks++; !unicode.Is(unicode.Mn, r) {
			marks = 0
		}
		if marks > maxMarks || i == 0 && unicode.Is(unicode.M, r) {
			return errNameMarks
		}
		script, ok := scriptOf(r)
		if !ok {
			return errNameOther
		}
		scripts |= script
	}
	if !scripts.together() {
		return errNameScripts
	}
	return nil
}

// checkRune checks a single rune.
func checkRune(r rune) error {
	switch {
	case unicode.IsControl(r):
		return errNameControl
	case unicode.Is(unicode.Z, r):
		return errNameSpace
	case r == ':' || r == '/' || r == '\\':
		return errNameSign
	case unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return errNameInvisible
	case r < utf8.RuneSelf:
		return nil
	case !unicode.In(r, unicode.L, unicode.Mn, unicode.Mc, unicode.Nd), isVariant(r):
		return errNameOther
	}
	return nil
}

// isVariant says whether r is only another shape of other letters: full-width,
// mathematical, a ligature. Some that people type every day are not counted as such.
func isVariant(r rune) bool {
	switch {
	case r >= 'ㄱ' && r <= 'ㅣ': // single jamo, from a Korean keyboard: ㅎㅎ
		return false
	case r == '\u0e33' || r == '\u0eb3': // Thai and Lao am
		return false
	case r >= 0x1100 && r <= 0x11ff || r >= 0xa960 && r <= 0xa97f || r >= 0xd7b0 && r <= 0xd7ff:
		return true // jamo that NFC has not composed to a syllable; they look like the single ones
	}
	return !norm.NFKC.IsNormalString(string(r))
}

// looksLatin holds the letters of other scripts that look like a Latin letter.
const looksLatin = "асԁеһіјӏорԛѕԝхуүѵьАВЕНІӀЈКМОРСԚЅТԜХУҮѴЬ" + // Cyrillic
	"αγικνορυϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϷ" + // Greek
	"ագզհյոսցօՍՏՕԼ" // Armenian

// checkReading refuses names that people would read as another name.
func checkReading(canonical, folded string) error {
	switch withoutMarks(folded) {
	case wire.ServerName, "ѕегѵег": // the latter is Cyrillic
		return errNameReserved
	}
	foreign := false
	for _, r := range withoutMarks(canonical) {
		switch {
		case strings.ContainsRune(looksLatin, r):
			foreign = true
		case unicode.IsLetter(r):
			return nil
		}
	}
	if foreign {
		return errNameLookalike
	}
	return nil
}

// withoutMarks removes the accents.
func withoutMarks(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) {
			return -1
		}
		return r
	}, norm.NFD.String(name))
}

// scriptSet is a set of scripts, a bit for each in everydayScripts.
type scriptSet uint32

// latin is the letters of living alphabets. The other characters that Unicode counts
// as Latin are phonetic signs, many of which look like a letter of the alphabet.
var latin = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 'A', Hi: 'Z', Stride: 1},
		{Lo: 'a', Hi: 'z', Stride: 1},
		{Lo: 0x00c0, Hi: 0x00d6, Stride: 1},
		{Lo: 0x00d8, Hi: 0x00f6, Stride: 1},
		{Lo: 0x00f8, Hi: 0x01bf, Stride: 1},
		{Lo: 0x01c4, Hi: 0x024f, Stride: 1}, // before it stand clicks: ǀ ǃ
		{Lo: 0x0253, Hi: 0x0254, Stride: 1}, // ɓ ɔ
		{Lo: 0x0256, Hi: 0x0257, Stride: 1}, // ɖ ɗ
		{Lo: 0x0259, Hi: 0x025b, Stride: 2}, // ə ɛ
		{Lo: 0x1e00, Hi: 0x1eff, Stride: 1},
	},
	LatinOffset: 4,
}

// everydayScripts are the scripts that a name may use: those in everyday use. Some of
// the first six can be mixed.
var everydayScripts = []*unicode.RangeTable{
	latin, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo,
	unicode.Arabic, unicode.Armenian, unicode.Bengali, unicode.Cyrillic, unicode.Devanagari,
	unicode.Ethiopic, unicode.Georgian, unicode.Greek, unicode.Gujarati, unicode.Gurmukhi,
	unicode.Hebrew, unicode.Kannada, unicode.Khmer, unicode.Lao, unicode.Malayalam,
	unicode.Myanmar, unicode.Oriya, unicode.Sinhala, unicode.Tamil, unicode.Telugu,
	unicode.Thaana, unicode.Thai, unicode.Tibetan,
}

const (
	isLatin scriptSet = 1 << iota
	isHan
	isHangul
	isHiragana
	isKatakana
	isBopomofo
)

// mixtures are the scripts that one name may use together: Latin with those of
// one language.
var mixtures = []scriptSet{
	isLatin | isHan | isHangul,
	isLatin | isHan | isHiragana | isKatakana,
	isLatin | isHan | isBopomofo,
}

// together says whether one name may use all these scripts.
func (s scriptSet) together() bool {
	if s&(s-1) == 0 {
		return true
	}
	for _, m := range mixtures {
		if s&^m == 0 {
			return true
		}
	}
	return false
}

// scriptOf returns the script of a rune, none for digits, signs and marks of all
// scripts. ok is false if names may not use the script, or the rune has none.
func scriptOf(r rune) (s scriptSet, ok bool) {
	for i, table := range everydayScripts {
		if unicode.Is(table, r) {
			return 1 << i, true
		}
	}
	const longVowel = 'ー' // of both kana
	return 0, r < 0x80 || r == longVowel || unicode.Is(unicode.Inherited, r)
}
