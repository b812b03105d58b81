package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inShell runs a script in a shell, with the commands in its path; "" if there is no
// such shell.
func inShell(t *testing.T, shell, script string) string {
	t.Helper()
	tables(t)
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("no %s here", shell)
	}
	run := exec.Command(shell, "-c", script)
	run.Env = append(os.Environ(), "PATH="+binaries+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return string(out)
}

// TestBash: the script that bash loads offers what the command says.
func TestBash(t *testing.T) {
	out := inShell(t, "bash", `
		source <(chatd completion bash); source <(bench completion bash)
		try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _$1 $1 2>/dev/null; echo "${COMPREPLY[@]}"; }
		try chatd -backend epo
		try chatd -log-format = j
		try chatd ctl ki
		try chatd -tls-ce
		try bench run -backends epoll,gor
		try chatd no such thing`)
	if want := "epoll\njson\nkick\n-tls-cert\nepoll,goroutine\n\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestFish: so does that of fish, which shows descriptions too.
func TestFish(t *testing.T) {
	out := inShell(t, "fish", `
		chatd completion fish | source; bench completion fish | source
		complete -C 'chatd -backend epo'
		complete -C 'chatd ctl ki'
		complete -C 'chatd healthc'
		complete -C 'bench run -backends epoll,gor'`)
	if want := "epoll\nkick\nhealthcheck\tcheck whether a server is healthy, for images without a shell\nepoll,goroutine\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestManuals: the manual of each command has all its flags and verbs, and those who
// print manuals find nothing wrong with it.
func TestManuals(t *testing.T) {
	for _, c := range tables(t) {
		page, err := exec.Command(filepath.Join(binaries, c.name), "man").Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(c.manual, "\n")
		for verb, flags := range c.verbs {
			if verb != "" && !slices.Contains(lines, ".SS "+c.name+" "+verb) {
				t.Errorf("%s.1 has no %s", c.name, verb)
			}
			for _, flag := range flags {
				if !slices.ContainsFunc(lines, func(line string) bool { return line == flag || strings.HasPrefix(line, flag+" ") }) {
					t.Errorf("%s.1 has no %s", c.name, flag)
				}
			}
		}
		path := filepath.Join(t.TempDir(), c.name+".1")
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath("groff"); err != nil {
			t.Log("no groff here")
		} else if out, err := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s.1: %v\n%s", c.name, err, out)
		}
	}
}
