package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is one page of the repository, its path from the root on.
type page struct{ path, text string }

// pages is all pages but those in testdata.
func pages(t *testing.T) (all []page) {
	t.Helper()
	err := filepath.WalkDir(rootOfAll, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "man" || strings.HasPrefix(d.Name(), ".git")):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			name, _ := filepath.Rel(rootOfAll, path)
			all = append(all, page{name, string(text)})
		}
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d pages, %v", len(all), err)
	}
	return all
}

// readPage is one of them.
func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rootOfAll, path))
	if err != nil {
		t.Fatal(err)
	}
	return page{path, string(text)}
}

var (
	fence   = regexp.MustCompile("(?ms)^[ ]*```([a-z]*)[^\n]*\n(.*?)^[ ]*```[ ]*$")
	span    = regexp.MustCompile("`[^`\n]+`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
)

// prose is a page without its code.
func (p page) prose() string { return span.ReplaceAllString(fence.ReplaceAllString(p.text, ""), "") }

// anchors is what links to a page can end in: its headings as GitHub makes anchors of
// them.
func (p page) anchors() (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)
		all = append(all, anchor)
	}
	return all
}

// TestLinks: what a page links to is there, and so is the heading within it.
func TestLinks(t *testing.T) {
	anchors := make(map[string][]string)
	for _, p := range pages(t) {
		anchors[p.path] = p.anchors()
	}
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.prose(), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := p.path
			if path != "" {
				target = filepath.Join(filepath.Dir(p.path), path)
			}
			if _, err := os.Stat(filepath.Join(rootOfAll, target)); err != nil {
				t.Errorf("%s: there is no %s", p.path, m[1])
			} else if anchor != "" && !slices.Contains(anchors[target], anchor) {
				t.Errorf("%s: %s has no heading %s", p.path, target, anchor)
			}
		}
	}
}

var pathInCode = regexp.MustCompile("`((?:backends|bench|client|cmd|core|deploy|docs|internal|loadgen|results|server)/[a-zA-Z0-9_./-]+\\.(?:go|md|txt|json|yml|svg|css|html|service|socket|env))`")

// TestPathsInPages: the files that a page names are there. NAME stands for a name.
func TestPathsInPages(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range pathInCode.FindAllStringSubmatch(p.text, -1) {
			if _, err := os.Stat(filepath.Join(rootOfAll, m[1])); err != nil && !strings.Contains(m[1], "NAME") {
				t.Errorf("%s: there is no %s", p.path, m[1])
			}
		}
	}
}

var (
	testName = regexp.MustCompile(`(?:^|[^.A-Za-z])((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\(`)
)

// TestTestsInPages: the tests that a page names are there, or at least begin like that:
// -run takes the beginning of a name too.
func TestTestsInPages(t *testing.T) {
	known := strings.Builder{}
	err := filepath.WalkDir(rootOfAll, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			known.WriteString("\n" + string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]string{"Makefile": readPage(t, "Makefile").text}
	for _, p := range pages(t) {
		code[p.path] = strings.Join(append(span.FindAllString(p.text, -1), fence.FindAllString(p.text, -1)...), "\n")
	}
	for path, text := range code {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(known.String(), "\n"+m[1]) {
				t.Errorf("%s: there is no test %s", path, m[1])
			}
		}
	}
}

// unwanted are words that had another meaning here than elsewhere, and ways to say
// things that had to be read twice. They stay out of pages and of the texts that
// commands print. inGo keeps a word out of Go files too.
var unwanted = []struct {
	phrase string
	say    string // instead
	inGo   bool
}{
	{"errand", "download job, task", true},
	{"shelf", "result store, staging directory", true},
	{"shelves", "result stores", true},
	{"guest", "event-loop adapter", false},
	{"crew", "workers, threads", true},
	{"kid", "child", true},
	{"kids", "children", true},
	{"lab", "test bed", true},
	{"seat", "place, slot", true},
	{"farewell", "Close, last frame", false},
	{"cupboard", "directory", true},
	{"aside", "apart from", false},
	{"unheard", "missing, not delivered", true},
	{"to be had", "available", false},
	{"nobody can say", "undecided", false},
	{"in the place of", "in place of", false},
	{"for the core to say", "the core decides", false},
	{"is named twice", "is listed twice", false},
	{"without being asked for", "automatically", false},
	{"elder", "older", true},
	{"ghost", "stale", true},
	{"abroad", "remote", true},
	{"sieve", "filter", true},
	{"theatre", "script", true},
	{"turnstile", "authenticator", true},
}

// phrase makes a pattern of a phrase, which a line's end may break.
func phrase(text string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(regexp.QuoteMeta(text), " ", `\s+`) + `\b`)
}

// TestWords: pages and help are in plain words.
func TestWords(t *testing.T) {
	texts := pages(t)
	for i := range texts {
		texts[i].text = texts[i].prose()
	}
	for _, c := range tables(t) {
		texts = append(texts, page{c.name + " -h", c.manual})
	}
	sources := goFiles(t)
	for _, w := range unwanted {
		pattern := phrase(w.phrase)
		in := texts
		if w.inGo {
			in = append(slices.Clone(texts), sources...)
		}
		for _, p := range in {
			if at := pattern.FindStringIndex(p.text); at != nil {
				t.Errorf("%s:%d says %q: say %s", p.path, 1+strings.Count(p.text[:at[0]], "\n"), w.phrase, w.say)
			}
		}
	}
}

// goFiles is all Go files but those of these tests.
func goFiles(t *testing.T) (all []page) {
	t.Helper()
	err := filepath.WalkDir(rootOfAll, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(rootOfAll, path)
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || filepath.Dir(name) == "cmd" {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, page{name, string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
