package cmdline

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const toolText = `tool does it.

  tool -open       let anybody in
  tool run -o DIR  run

It's "fine" \ here.
.not a request`

// tool is a command with everything that a command can have.
func tool() Command {
	run := flag.NewFlagSet("run", flag.ContinueOnError)
	run.String("backends", "", "`NAMES` to measure")
	run.String("format", "text", "`text|json` is printed")
	run.String("o", "", "`DIR` for the results")
	run.Bool("quick", false, "quickly")
	return Command{
		Name: "tool", Summary: "does it", Text: toolText, Exit: "3 if it is broken.", See: []string{"other"}, Flags: flags(),
		Values: map[string][]string{"backends": {"epoll", "evio", "poll"}},
		Verbs: []Verb{
			{Name: "run", Summary: "run it", Takes: "DIR", Flags: run},
			{Name: "user", Summary: "change users", Text: "tool user add FILE   make one\n\nIn the file.\n", Takes: "FILE", Words: []string{"add", "del"}},
		},
	}
}

// say runs Describe to its end.
func say(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b strings.Builder
	code, done := Describe(&b, args, tool)
	if !done {
		t.Fatalf("%q is not for Describe", args)
	}
	return b.String(), code
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{""}, "run\trun it user\tchange users"},
		{[]string{"u"}, "user\tchange users"},
		{[]string{"x"}, ""},
		{[]string{"-l"}, "-linger\tTIME -list\tprint"},
		{[]string{"--l"}, "-linger\tTIME -list\tprint"},
		{[]string{"-open", "-li"}, "-linger\tTIME -list\tprint"},
		{[]string{"-users", ""}, ":files"},
		{[]string{"-users=x"}, ":files"},
		{[]string{"-max-clients", ""}, ""},
		{[]string{"-open=t"}, ""},
		{[]string{"run", ""}, ":dirs"},
		{[]string{"run", "-q"}, "-quick\tquickly"},
		{[]string{"run", "-li"}, ""},
		{[]string{"run", "-quick", ""}, ":dirs"},
		{[]string{"run", "-o", ""}, ":dirs"},
		{[]string{"run", "-format", ""}, "text json"},
		{[]string{"run", "-format", "j"}, "json"},
		{[]string{"run", "--format=j"}, "--format=json"},
		{[]string{"run", "-format", "="}, "text json"},
		{[]string{"run", "-format", "=", "t"}, "text"},
		{[]string{"run", "-backends", "e"}, "epoll evio :nospace"},
		{[]string{"run", "-backends", "poll,ev"}, "poll,evio :nospace"},
		{[]string{"run", "-backends=poll,ev"}, "-backends=poll,evio :nospace"},
		{[]string{"user", ""}, "add del"},
		{[]string{"user", "d"}, "del"},
		{[]string{"user", "add", ""}, ":files"},
		{[]string{"user", "-"}, ""},
	} {
		out, code := say(t, append([]string{"completion", "--"}, c.words...)...)
		if got := strings.Join(strings.Split(strings.TrimSuffix(out, "\n"), "\n"), " "); got != c.want || code != OK {
			t.Errorf("%q: %q, want %q, code %d", c.words, got, c.want, code)
		}
	}
}

// TestDescribeMistakes: what is asked for has to be there, and other arguments are
// for the command itself.
func TestDescribeMistakes(t *testing.T) {
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}, {"completion", "bash", "zsh"}, {"completion", "--"}, {"man", "tool"}} {
		if out, code := say(t, args...); out != "" || code != Usage {
			t.Errorf("%q: %q, code %d", args, out, code)
		}
	}
	for _, args := range [][]string{nil, {"run"}, {"-open", "man"}} {
		if _, done := Describe(nil, args, nil); done {
			t.Errorf("%q was taken", args)
		}
	}
}

// TestBrief: a description is one line, and not too long for one.
func TestBrief(t *testing.T) {
	if got := brief("one\ntwo  three"); got != "one two three" {
		t.Error(got)
	}
	if got := brief(strings.Repeat("é", 100)); got != strings.Repeat("é", describedTo-1)+"…" {
		t.Error(got)
	}
}

const toolPage = `.TH TOOL 1 "2026-01-31" "chatbench" "User Commands"
.SH "NAME"
tool \- does it
.SH "SYNOPSIS"
\fBtool\fR [flags]
.br
\fBtool\fR run [flags] DIR
.br
\fBtool\fR user add|del FILE
.SH "DESCRIPTION"
tool does it.
.RS 4
.nf
tool \-open       let anybody in
tool run \-o DIR  run
.fi
.RE
.PP
It\(aqs \(dqfine\(dq \e here.
\&.not a request
.SH "COMMANDS"
.SS tool run
Run it.
.TP
\fB\-backends\fR \fINAMES\fR
NAMES to measure
.TP
\fB\-format\fR \fItext|json\fR
text|json is printed (text)
.TP
\fB\-o\fR \fIDIR\fR
DIR for the results
.TP
\fB\-quick\fR
quickly
.SS tool user
.RS 4
.nf
tool user add FILE   make one
.fi
.RE
.PP
In the file.
.SH "OPTIONS"
.TP
\fB\-linger\fR \fITIME\fR
TIME (1s)
.TP
\fB\-list\fR
print
.TP
\fB\-max\-clients\fR \fIN\fR
at most N (10)
.TP
\fB\-open\fR
any
.TP
\fB\-users\fR \fIFILE\fR
FILE
.SH "ENVIRONMENT"
Every flag except \-list can also be set in the environment: \-users as TOOL_USERS.
.SH "EXIT STATUS"
0 if all went well, 1 after an error, 2 if the command line was not understood. 3 if it is broken.
.SH "SEE ALSO"
\fBother\fR(1)
`

func TestManual(t *testing.T) {
	if got := tool().manual("2026-01-31"); got != toolPage {
		t.Errorf("the page is\n%s\nwant\n%s", got, toolPage)
	}
	if got := escaped("½ a-b"); got != `\[u00BD] a\-b` {
		t.Error(got)
	}
}

// TestManualIsReadable: those who print manuals find nothing wrong with the page.
func TestManualIsReadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool.1")
	if err := os.WriteFile(path, []byte(tool().manual("2026-01-31")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"groff", "-man", "-Tutf8", "-ww", "-z", path}, {"mandoc", "-Tlint", "-Wwarning", path}} {
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("no %s here", args[0])
		} else if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
}

// TestScripts: each shell that is here takes its script without a word.
func TestScripts(t *testing.T) {
	for shell := range scripts {
		script, code := say(t, "completion", shell)
		if code != OK || !strings.Contains(script, "completion -- ") || strings.Contains(script, "COMMAND") {
			t.Errorf("%s, code %d:\n%s", shell, code, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}
