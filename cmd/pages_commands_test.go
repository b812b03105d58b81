package house

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table is what one of the commands takes, as it says itself.
type table struct {
	name   string
	verbs  map[string][]string // flags by verb; "" are those without a verb
	words  map[string][]string // that may follow a verb, such as add
	manual string
}

var builtTables = sync.OnceValues(func() (all []table, err error) {
	build := exec.Command("go", "build", "-o", binaries, "./cmd/chatd", "./cmd/chat", "./cmd/loadgen", "./cmd/bench")
	build.Dir = rootOfAll
	if out, err := build.CombinedOutput(); err != nil {
		return []table{{manual: string(out)}}, err
	}
	for _, name := range []string{"chatd", "chat", "loadgen", "bench"} {
		c := table{name: name, verbs: make(map[string][]string), words: make(map[string][]string)}
		c.verbs[""] = ask(name, "-")
		for _, verb := range ask(name, "") {
			c.verbs[verb] = ask(name, verb, "-")
			c.words[verb] = ask(name, verb, "")
		}
		manual, err := exec.Command(filepath.Join(binaries, name), "man").Output()
		if err != nil {
			return nil, err
		}
		c.manual = strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\fB`, "", `\fI`, "", `\fR`, "").Replace(string(manual))
		all = append(all, c)
	}
	return all, nil
})

// binaries is where the commands are built, for all tests; TestMain removes it.
var binaries string

// tables is the four commands.
func tables(t *testing.T) []table {
	t.Helper()
	all, err := builtTables()
	if err != nil {
		t.Fatal(err, all)
	}
	return all
}

// ask is what a command completes the last word to.
func ask(name string, words ...string) (found []string) {
	out, err := exec.Command(filepath.Join(binaries, name), append([]string{"completion", "--"}, words...)...).Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if !strings.HasPrefix(word, ":") {
			found = append(found, word)
		}
	}
	return found
}

// shown is the command lines of a page: in code blocks, and in spans that begin with
// a command of ours.
func (p page) shown() (lines []string) {
	blocks := p.text
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		text := strings.ReplaceAll(m[2], "\\\n", " ")
		for line := range strings.Lines(text) {
			line, prompt := strings.TrimSpace(line), false
			if line, prompt = strings.CutPrefix(line, "$ "); !prompt {
				line, prompt = strings.CutPrefix(line, "# ")
			}
			if prompt || m[1] == "" {
				lines = append(lines, line)
			}
		}
		blocks = strings.Replace(blocks, m[0], "", 1)
	}
	for line := range strings.Lines(blocks) {
		if text, inset := strings.CutPrefix(line, "    "); inset {
			lines = append(lines, strings.TrimSpace(text))
		}
	}
	for _, s := range span.FindAllString(blocks, -1) {
		lines = append(lines, strings.Trim(s, "`"))
	}
	return lines
}

var (
	comment = regexp.MustCompile(`(^|\s)#.*$`)
	pieces  = regexp.MustCompile(`\|\||&&|[|;]`)
	quoted  = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	assigns = regexp.MustCompile(`^[A-Z_]+=`)
)

// commands takes the calls of our commands and of make out of a line: each as its
// words, the command's base name first.
func commands(line string) (calls [][]string) {
	line = quoted.ReplaceAllString(comment.ReplaceAllString(line, ""), "TEXT")
	for _, piece := range pieces.Split(line, -1) {
		words := strings.Fields(piece)
		for len(words) > 0 && assigns.MatchString(words[0]) {
			words = words[1:]
		}
		if i := slices.Index(words, "--"); i >= 0 { // runuser -u chatd -- chatd ctl
			words = words[i+1:]
		} else if len(words) > 3 && words[0] == "podman" && words[1] == "exec" {
			words = words[3:]
		}
		if len(words) == 0 || strings.HasSuffix(words[0], "/") { // a directory
			continue
		}
		if name := filepath.Base(words[0]); slices.Contains([]string{"chatd", "chat", "loadgen", "bench", "make"}, name) {
			calls = append(calls, append([]string{name}, words[1:]...))
		}
	}
	return calls
}

// everywhere is the flags that every verb has.
var everywhere = []string{"-h", "-version"}

// wrong says what is wrong with a call; "" if nothing.
func (c table) wrong(args []string) string {
	flags := c.verbs[""]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && len(c.verbs) > 1 {
		verb := args[0]
		known := false
		if flags, known = c.verbs[verb]; verb == "completion" || verb == "man" || isPlaceholder(verb) {
			return ""
		} else if !known {
			return "there is no verb " + verb
		}
		for _, arg := range args[1:] {
			if words := c.words[verb]; len(words) > 0 && !strings.HasPrefix(arg, "-") && !isPlaceholder(arg) {
				if args[0] == "user" && !slices.Contains(words, arg) {
					return verb + " knows no " + arg
				}
				break
			}
		}
	}
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimRight(arg, ".,:)]"), "=")
		name = strings.TrimLeft(name, "[(")
		if strings.HasPrefix(name, "-") && len(name) > 1 && !slices.Contains(flags, name) && !slices.Contains(everywhere, name) {
			return "there is no flag " + name
		}
	}
	return ""
}

// isPlaceholder says whether a word stands for others: VERB, NAME, ….
func isPlaceholder(word string) bool { return strings.ToUpper(word) == word }

var (
	target   = regexp.MustCompile(`(?m)^([a-z-]+):`)
	variable = regexp.MustCompile(`\$\(([A-Z]+)\)`)
)

// wrongMake says what is wrong with a call of make: its targets, and the variables
// that it sets.
func wrongMake(makefile string, args []string) string {
	has := func(pattern *regexp.Regexp, name string) bool {
		return slices.ContainsFunc(pattern.FindAllStringSubmatch(makefile, -1), func(m []string) bool { return m[1] == name })
	}
	for i, arg := range args {
		name, _, isVariable := strings.Cut(arg, "=")
		switch {
		case arg == "-C" || i > 0 && args[i-1] == "-C" || isPlaceholder(name) && !isVariable:
		case isVariable && !has(variable, name):
			return "the Makefile has no variable " + name
		case !isVariable && !has(target, arg):
			return "the Makefile has no target " + arg
		}
	}
	return ""
}

// TestCommandsInPages: every command line that a page shows is one that the command
// takes, as far as its verb and its flags go.
func TestCommandsInPages(t *testing.T) {
	all, makefile, seen := tables(t), readPage(t, "Makefile").text, 0
	for _, p := range pages(t) {
		for _, line := range p.shown() {
			for _, call := range commands(line) {
				seen++
				why := ""
				if call[0] == "make" {
					why = wrongMake(makefile, call[1:])
				}
				for _, c := range all {
					if c.name == call[0] {
						why = c.wrong(call[1:])
					}
				}
				if why != "" {
					t.Errorf("%s: %s: %s", p.path, line, why)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// TestWrongCommands: mistakes in a command line are seen.
func TestWrongCommands(t *testing.T) {
	makefile := readPage(t, "Makefile").text
	for line, want := range map[string]string{
		"chatd -open -listen :9000":                   "",
		"bin/chatd -opne":                             "there is no flag -opne",
		"runuser -u chatd -- bin/chatd ctl -sock x":   "there is no flag -sock",
		"podman exec chatd /chatd usr":                "there is no verb usr",
		"chatd user ad users.txt alice":               "user knows no ad",
		"X=y bench run -backend epoll":                "there is no flag -backend",
		"echo hello | chat -usr alice":                "there is no flag -usr",
		"make bench BACKEND=epoll # and compare":      "",
		"make benhc":                                  "the Makefile has no target benhc",
		"make bench BACKENDS=epoll":                   "the Makefile has no variable BACKENDS",
		"loadgen fetch -server x && loadgen fetch -x": "there is no flag -x",
	} {
		got := ""
		for _, call := range commands(line) {
			if call[0] == "make" {
				got += wrongMake(makefile, call[1:])
			}
			for _, c := range tables(t) {
				if c.name == call[0] {
					got += c.wrong(call[1:])
				}
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestReportsInPages: where a page shows what bench report prints of a run in results/,
// it prints that. A line of … stands for others.
func TestReportsInPages(t *testing.T) {
	tables(t)
	shown := regexp.MustCompile(`(?s)^bin/bench (report results/\S+)\n(.*)`)
	seen := 0
	for _, p := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(p.text, -1) {
			for _, one := range strings.Split(block[2], "$ ") {
				m := shown.FindStringSubmatch(one)
				if m == nil {
					continue
				}
				run := exec.Command(filepath.Join(binaries, "bench"), strings.Fields(m[1])...)
				run.Dir = rootOfAll
				out, err := run.Output()
				if err != nil {
					t.Fatal(m[1], err)
				}
				for _, part := range strings.Split(m[2], "…\n") {
					if seen++; !strings.Contains(string(out), part) {
						t.Errorf("%s: bench %s does not print\n%s", p.path, m[1], part)
					}
				}
			}
		}
	}
	if seen < 2 {
		t.Errorf("only %d parts of reports were found", seen)
	}
}

// TestMakeHelp: every target is in the list that make help prints, and no other file
// can be in its way.
func TestMakeHelp(t *testing.T) {
	makefile := readPage(t, "Makefile").text
	_, phony, _ := strings.Cut(makefile, "\n.PHONY:")
	for _, m := range target.FindAllStringSubmatch(makefile, -1) {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:.*## \S`).MatchString(makefile) {
			t.Errorf("the target %s has no help", m[1])
		}
		if !slices.Contains(strings.Fields(phony), m[1]) {
			t.Errorf("the target %s is not in .PHONY", m[1])
		}
	}
}

var flagAlone = regexp.MustCompile("`(-[a-z][a-z0-9-]+)(?: [^`]*)?`")

// foreign are flags of other programs that pages name: of go and its tests, of
// curl and the like.
var foreign = []string{"-race", "-update", "-run", "-count", "-skip", "-cap-drop"}

// TestFlagsInPages: a flag that a page names is one of some command.
func TestFlagsInPages(t *testing.T) {
	known := slices.Concat(everywhere, foreign)
	for _, c := range tables(t) {
		for _, flags := range c.verbs {
			known = append(known, flags...)
		}
	}
	for _, p := range pages(t) {
		for _, m := range flagAlone.FindAllStringSubmatch(p.text, -1) {
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s: no command has the flag %s", p.path, m[1])
			}
		}
	}
}
