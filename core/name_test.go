package core

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"chatbench/core/wire"
)

func TestCheckNameAccepts(t *testing.T) {
	for _, c := range []struct{ name, canonical, folded string }{
		{"bob", "bob", "bob"},
		{"Bob", "Bob", "bob"},
		{"BOB42", "BOB42", "bob42"},
		{"a.b", "a.b", "a.b"},
		{"...", "...", "..."},
		{".bob", ".bob", ".bob"},
		{"a-b_c'd@e!#$%&()*+,;<=>?[]^`{|}~\"", "a-b_c'd@e!#$%&()*+,;<=>?[]^`{|}~\"", "a-b_c'd@e!#$%&()*+,;<=>?[]^`{|}~\""},
		{"42", "42", "42"},
		{"servers", "servers", "servers"},
		{"민수", "민수", "민수"},
		{norm.NFD.String("한글"), "한글", "한글"},
		{"ㅎㅎ", "ㅎㅎ", "ㅎㅎ"},
		{"ㅋㅋbob", "ㅋㅋbob", "ㅋㅋbob"},
		{"Min민수2", "Min민수2", "min민수2"},
		{"金민수", "金민수", "金민수"},
		{"田中さん", "田中さん", "田中さん"},
		{"スーパーbob", "スーパーbob", "スーパーbob"},
		{"李小龙", "李小龙", "李小龙"},
		{"José", "José", "josé"},
		{"Jose\u0301", "José", "josé"},
		{"Straße", "Straße", "strasse"},
		{"Işık", "Işık", "işık"},
		{"Nguyễn", "Nguyễn", "nguyễn"},
		{"Əli", "Əli", "əli"},
		{"Иван", "Иван", "иван"},
		{"вера", "вера", "вера"},
		{"Егор", "Егор", "егор"},
		{"Νίκος", "Νίκος", "νίκοσ"},
		{"דוד", "דוד", "דוד"},
		{"علي", "علي", "علي"},
		{"राम", "राम", "राम"},
		{"น้ำ", "น้ำ", "น้ำ"},
		{"ຄຳ", "ຄຳ", "ຄຳ"},
		{"မြှော်", "မြှော်", "မြှော်"},
		{strings.Repeat("x", 64), strings.Repeat("x", 64), strings.Repeat("x", 64)},
		{strings.Repeat("한", 21), strings.Repeat("한", 21), strings.Repeat("한", 21)},
		{norm.NFD.String(strings.Repeat("한", 21)), strings.Repeat("한", 21), strings.Repeat("한", 21)},
	} {
		canonical, folded, err := checkName([]byte(c.name))
		if err != nil || canonical != c.canonical || folded != c.folded {
			t.Errorf("%+q: got %q, %q, %v; want %q, %q", c.name, canonical, folded, err, c.canonical, c.folded)
		}
		if got := foldName([]byte(c.name)); got != c.folded {
			t.Errorf("foldName(%+q) is %q, want %q", c.name, got, c.folded)
		}
	}
}

func TestCheckNameRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		want error
	}{
		{"", errNameEmpty},
		{strings.Repeat("x", 65), errNameLong},
		{strings.Repeat("x", 4000), errNameLong},
		{strings.Repeat("한", 22), errNameLong},
		{"bob\xff", errNameUTF8},
		{"\xed\xa0\x80", errNameUTF8},
		{".", errNameDots},
		{"..", errNameDots},
		{"a b", errNameSpace}, {" ", errNameSpace}, {"a\u00a0b", errNameSpace}, {"a\u3000b", errNameSpace},
		{"a\u2028b", errNameSpace},
		{"a:b", errNameSign}, {"a/b", errNameSign}, {`a\b`, errNameSign}, {"../x", errNameSign},
		{"a\tb", errNameControl}, {"a\nb", errNameControl}, {"a\rb", errNameControl}, {"a\x00b", errNameControl},
		{"a\x1b[0m", errNameControl}, {"a\x7f", errNameControl}, {"a\u009b", errNameControl},
		{"bo\u200bb", errNameInvisible}, {"bo\u200db", errNameInvisible}, {"\ufeffbob", errNameInvisible},
		{"bo\u00adb", errNameInvisible}, {"bo\u034fb", errNameInvisible}, {"bob\ufe0f", errNameInvisible},
		{"bo\u2060b", errNameInvisible}, {"ㅎ\u3164", errNameInvisible}, {"\u115f\u1160", errNameInvisible},
		{"\u202ebob", errNameInvisible}, {"bob\u2066", errNameInvisible}, {"bob\u200f", errNameInvisible},
		{"bob\u061c", errNameInvisible}, {"bob\U000e0041", errNameInvisible},
		{"bob★", errNameOther}, {"bob😀", errNameOther}, {"bob∶", errNameOther}, {"bob⁄x", errNameOther},
		{"bob：", errNameOther}, {"ser∨er", errNameOther}, {"bob\ue000", errNameOther}, {"bob\U0010ffff", errNameOther},
		{"ｂｏｂ", errNameOther}, {"𝐛𝐨𝐛", errNameOther}, {"ﬁ", errNameOther}, {"ſerver", errNameOther},
		{"ᄒ", errNameOther}, {"ﾎﾞﾌﾞ", errNameOther}, {"ǀǀ", errNameOther}, {"ɑlice", errNameOther},
		{"ꜱᴇʀᴠᴇʀ", errNameOther}, {"ꓢꓰꓣꓦꓰꓣ", errNameOther}, {"ᏚᎬᎡ", errNameOther}, {"serverː", errNameOther},
		{"bob\u20dd", errNameOther},
		{"\u0301bob", errNameMarks}, {"ि", errNameMarks},
		{"x" + strings.Repeat("\u0323", 5), errNameMarks},
		{"x" + strings.Repeat("\u0323", 31), errNameLong},
		{"аdmin", errNameScripts}, {"admіn", errNameScripts}, {"민수а", errNameScripts}, {"ѕerver", errNameScripts},
		{"さ민수", errNameScripts}, {"bobρ", errNameScripts}, {"b٥b", errNameScripts}, {"ивانن", errNameScripts},
		{"аӏісе", errNameLookalike}, {"АВС", errNameLookalike}, {"ΑΒΕ42", errNameLookalike}, {"о", errNameLookalike},
		{"сoр", errNameScripts}, {"հոս", errNameLookalike}, {"ἀν", errNameLookalike},
		{"server", errNameReserved}, {"Server", errNameReserved}, {"SERVER", errNameReserved},
		{"sérvër", errNameReserved}, {"s\u0338erver", errNameReserved}, {"ѕегѵег", errNameReserved}, {"ЅЕГѴЕГ", errNameReserved},
	} {
		canonical, folded, err := checkName([]byte(c.name))
		if err != c.want || canonical != "" || folded != "" {
			t.Errorf("%+q: got %q, %q, %v; want %v", c.name, canonical, folded, err, c.want)
		}
		if !wire.Final(c.want.Error()) {
			t.Errorf("%v: a client would try again with this name", c.want)
		}
	}
}

// All the forms in which a name can be typed are the same name.
func TestFoldNameFindsEveryForm(t *testing.T) {
	for _, forms := range [][]string{
		{"bob", "Bob", "BOB"},
		{"José", "JOSÉ", "jose\u0301", "JOSE\u0301"},
		{"straße", "STRASSE", "Strasse", "STRAẞE"},
		{"한글", norm.NFD.String("한글")},
		{"xᾴ", "xα\u0301\u0345", "xα\u0345\u0301", "XΆΙ"},
		{"Νίκος", "ΝΊΚΟΣ", norm.NFD.String("νίκος")},
	} {
		for _, form := range forms {
			if got, want := foldName([]byte(form)), foldName([]byte(forms[0])); got != want || got == "" {
				t.Errorf("foldName(%+q) is %q, of %+q it is %q", form, got, forms[0], want)
			}
		}
	}
	for _, name := range []string{"", "bob\xff", strings.Repeat("한", 1000)} {
		if got := foldName([]byte(name)); got != "" {
			t.Errorf("foldName(%+q) is %q", name, got)
		}
	}
}

// Folding a folded name changes nothing, for every letter with case, together with marks
// that affect folding.
func TestFoldingIsStable(t *testing.T) {
	taken := 0
	for r := rune(0); r < 0x2000; r++ {
		for _, mark := range []string{"", "\u0301", "\u0307", "\u0345"} {
			name := "α" + string(r) + mark
			if unicode.Is(latin, r) {
				name = string(r) + mark
			}
			_, folded, err := checkName([]byte(name))
			if err != nil {
				continue
			}
			taken++
			if again := foldName([]byte(folded)); again != folded {
				t.Errorf("%+q folds to %+q, and that to %+q", name, folded, again)
			}
		}
	}
	if taken < 2000 {
		t.Errorf("only %d names were taken", taken)
	}
}

func TestASCIIFolded(t *testing.T) {
	for name, want := range map[string]bool{
		"bob": true, "a.b-42": true, "": true, "Bob": false, "boZ": false, "A": false, "민수": false, "josé": false, "bob\xff": false,
	} {
		if got := asciiFolded([]byte(name)); got != want {
			t.Errorf("asciiFolded(%q) is %v", name, got)
		}
	}
}

func TestLookingAPlainNameUpAllocatesNothing(t *testing.T) {
	name, names := []byte("bob"), map[string]int{"bob": 1}
	found := 0
	n := testing.AllocsPerRun(100, func() {
		if asciiFolded(name) {
			found += names[string(name)]
		}
	})
	if n != 0 || found == 0 {
		t.Errorf("%v allocations, found %d", n, found)
	}
}

// FuzzName: a valid name is valid in canonical form too, and folds to the same in every
// form. No valid name contains what could break a line or a frame.
func FuzzName(f *testing.F) {
	f.Fuzz(func(t *testing.T, name []byte) {
		canonical, folded, err := checkName(name)
		if asciiFolded(name) && len(name) <= maxNameGiven && foldName(name) != string(name) {
			t.Fatalf("%q is said to be folded; it folds to %q", name, foldName(name))
		}
		if err != nil {
			if canonical != "" || folded != "" {
				t.Fatalf("%q refused as %q, %q", name, canonical, folded)
			}
			return
		}
		again, foldedAgain, err := checkName([]byte(canonical))
		if err != nil || again != canonical || foldedAgain != folded {
			t.Fatalf("%q taken as %q, %q, then as %q, %q, %v", name, canonical, folded, again, foldedAgain, err)
		}
		for _, form := range []string{string(name), canonical, folded, norm.NFD.String(canonical)} {
			if got := foldName([]byte(form)); got != folded {
				t.Fatalf("%+q folds to %+q, but %+q to %+q", name, folded, form, got)
			}
		}
		if len(canonical) == 0 || len(canonical) > 64 || folded == "" || folded == "server" {
			t.Fatalf("%q taken as %q, %q", name, canonical, folded)
		}
		for _, r := range canonical + folded {
			if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`:/\`, r) {
				t.Fatalf("%q taken with %U in it", name, r)
			}
		}
	})
}
