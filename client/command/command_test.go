package command

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"chatbench/client"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line string
		want Command
		err  string
	}{
		{"/bye", Command{Kind: Bye}, ""},
		{"  /help ", Command{Kind: Help}, ""},
		{"/file ls 민수", Command{Kind: List, User: "민수"}, ""},
		{`/file dn bob a.txt "b c.txt" d\ e.txt don't`, Command{Download, "bob", []string{"a.txt", "b c.txt", "d e.txt", "don't"}}, ""},
		{`/file dn bob ""`, Command{Download, "bob", []string{""}}, ""},
		{`/file dn bob "a\"b" c\\d`, Command{Download, "bob", []string{`a"b`, `c\d`}}, ""},
		{"/file cancel", Command{Kind: Cancel}, ""},
		{"/file cancel a b", Command{Kind: Cancel, Files: []string{"a", "b"}}, ""},
		{"/file ls", Command{}, "the syntax is /file ls USER"},
		{"/file ls a b", Command{}, "the syntax is /file ls USER"},
		{"/file dn bob", Command{}, "the syntax is /file dn USER FILE..."},
		{"/bye bye", Command{}, "the syntax is /bye"},
		{"/who", Command{Kind: Who}, ""},
		{"/names", Command{Kind: Who}, ""},
		{"/who bob", Command{}, "the syntax is /who"},
		{"/hlep", Command{}, "nearest is /help"},
		{"/by", Command{}, "nearest is /bye"},
		{"/quit", Command{Kind: Bye}, ""},
		{"/msg bob hi", Command{}, "no private messages"},
		{"/w", Command{}, "no private messages"},
		{"/me waves", Command{}, "no /me"},
		{"/list", Command{}, "one room"},
		{"/ls bob", Command{}, "nearest is /file ls USER"},
		{"/file sl bob", Command{}, "nearest is /file ls USER"},
		{"/fiel dn bob x", Command{}, "nearest is /file dn USER FILE..."},
		{"/file", Command{}, "nearest is /file ls USER"},
		{"/jump", Command{}, "/help shows"},
		{"/\x1b]52;", Command{}, "there is no /\ufffd]52;"},
		{`/file dn bob "a`, Command{}, "ends within a quotation or after a backslash"},
		{`/file dn bob a\`, Command{}, "ends within a quotation or after a backslash"},
		{"/" + strings.Repeat("x", 10000), Command{}, "/help shows"},
	} {
		got, err := Parse(c.line)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%.40q) = %+v, %v; want %+v, %q", c.line, got, err, c.want, c.err)
		}
	}
}

// What follows the user is one name if it is in that user's last list.
func TestNamesAsListed(t *testing.T) {
	var m Memory
	m.Listed("bob", []string{"a b.txt", `it's "so.txt`, "\ud55c\uae00 \ud30c\uc77c.txt", "c"})
	for line, want := range map[string][]string{
		"/file dn bob a b.txt":                    {"a b.txt"},
		"  /file  dn bob  a b.txt  ":              {"a b.txt"},
		`/file dn bob it's "so.txt`:               {`it's "so.txt`},
		"/file dn bob \u1112\u1161\u11ab글 파일.txt": {"한글 파일.txt"},
		"/file dn bob a b.txt c":                  {"a", "b.txt", "c"},
		"/file dn carol a b.txt":                  {"a", "b.txt"},
		`/file dn bob a\ b.txt c`:                 {"a b.txt", "c"},
		"/file dn bob c":                          {"c"},
	} {
		if got, err := m.Parse(line); err != nil || got.Kind != Download || !slices.Equal(got.Files, want) {
			t.Errorf("%q: %q, %v; want %q", line, got.Files, err, want)
		}
	}
	if _, err := m.Parse(`/file dn bob it's "no.txt`); err == nil {
		t.Error("a quotation without end is accepted")
	}
}

// Every command is in the help, and Tab completes it.
func TestCommandsAreShown(t *testing.T) {
	var m Memory
	for _, f := range forms {
		if !slices.ContainsFunc(HelpText, func(line string) bool { return strings.HasPrefix(line, "  "+f.words+" ") }) {
			t.Errorf("%s is not in the help", f.words)
		}
		if longer, candidates := m.Complete(f.words); longer != f.words+" " {
			t.Errorf("Tab makes %q of %q, candidates %q", longer, f.words, candidates)
		}
	}
}

func TestComplete(t *testing.T) {
	var m Memory
	m.Saw(client.Said{From: "bob"})
	m.Saw(client.Notice{Text: "민수 has joined"})
	m.Saw(client.Notice{Text: "here: bonnie, Carol"})
	m.Saw(client.Notice{Text: "two words has joined"})
	m.Saw(client.Notice{Text: "22 joined: zoe, zack and 20 more"})
	m.Saw(client.Notice{Text: "3 here: xaver, yvonne and 1 more"})
	m.Listed("bob", []string{"a b.txt", "a c.txt", "한글 파일.txt", "x\x1b[2J"})
	for _, c := range []struct {
		text, longer string
		candidates   int
	}{
		{"/f", "/file ", 0},
		{"/", "/", 6},
		{"/q", "/quit ", 0},
		{"/n", "/names ", 0},
		{"/file ls yv", "/file ls yvonne ", 0},
		{"/file d", "/file dn ", 0},
		{"/file ls zo", "/file ls zoe ", 0},
		{"/file ls zac", "/file ls zack ", 0},
		{"/file ls 민", "/file ls 민수 ", 0},
		{"/file ls bo", "/file ls bo", 2},
		{"/file dn car", "/file dn Carol ", 0},
		{"/file dn bob ", "/file dn bob ", 3},
		{"/file dn bob a", `/file dn bob a\ `, 0},
		{`/file dn bob a\ b`, `/file dn bob a\ b.txt `, 0},
		{"/file dn bob 한", `/file dn bob 한글\ 파일.txt `, 0},
		{"/file dn carol ", "/file dn carol ", 0},
		{"hi bon", "hi bonnie ", 0},
		{"", "", 0},
		{"zz", "zz", 0},
		{"two", "two", 0},
	} {
		longer, candidates := m.Complete(c.text)
		if longer != c.longer || len(candidates) != c.candidates {
			t.Errorf("Complete(%q) = %q, %q; want %q and %d candidates", c.text, longer, candidates, c.longer, c.candidates)
		}
	}
	if words, err := split(`/file dn bob ` + escape(`a "b\ c`)); err != nil || words[3] != `a "b\ c` {
		t.Errorf("escaped and split: %q, %v", words, err)
	}
	// What is kept is bounded.
	for i := range 2 * maxNames {
		name := "n" + strings.Repeat("x", i)
		m.Saw(client.Said{From: name})
		m.Listed(name, nil)
	}
	if len(m.names) != maxNames || len(m.lists) != maxLists || len(m.order) != maxLists {
		t.Errorf("%d names and %d lists are kept", len(m.names), len(m.lists))
	}
}
