package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// withTree makes a source tree in the current directory whose chatd is the fake
// one and uses as much CPU as its module says; the module "slow" uses more.
func withTree(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GATE_SELF", self)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	t.Setenv("GOPROXY", "off")
	mod := "module example.com/lib\n\ngo 1.26\n"
	main := strings.Replace(chatdSource, "%q", "lib.Burn", 1)
	for path, text := range map[string]string{
		"quick/go.mod": mod, "quick/lib.go": "package lib\n\nconst Burn = \"BENCH_BURN=0\"\n",
		"slow/go.mod": mod, "slow/lib.go": "package lib\n\nconst Burn = \"BENCH_BURN=50us\"\n",
		"chat/go.mod":            "module fake\n\ngo 1.26\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ../quick\n",
		"chat/cmd/chatd/main.go": strings.Replace(main, "\"syscall\"\n", "\"syscall\"\n\n\t\"example.com/lib\"\n", 1),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWith: a backend against itself with a module replaced, both built here.
func TestWith(t *testing.T) {
	programs, temp := bin(t), t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", temp)
	withTree(t)
	got := try(context.Background(), programs, tinyRun("good,other", "r", "-with", "example.com/lib=slow", "-source", "chat", "-rounds", "1", "-window", "none")...)
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	m := run.Manifest
	var names []string
	for _, a := range m.Arms {
		names = append(names, a.Name)
		if (a.Chatd != "") != strings.HasSuffix(a.Name, "+") {
			t.Errorf("%+v", a)
		}
	}
	if strings.Join(names, " ") != "good good+ other other+ good.aa" || m.Reference != "good" {
		t.Errorf("arms %v, reference %s", names, m.Reference)
	}
	slow, _ := filepath.Abs("slow")
	if len(m.Binaries) != 2 || m.Binaries[0].SHA256 == m.Binaries[1].SHA256 || m.Binaries[0].Modules != nil || len(m.Binaries[1].Modules) != 1 || m.Binaries[1].Modules[0].Dir != slow {
		t.Errorf("%+v", m.Binaries)
	}
	if want := "example.com/lib from " + slow + ", in no git tree, in place of ../quick"; !strings.Contains(got.stdout, want) {
		t.Errorf("%s does not say %q", got.stdout, want)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestWithMistakes: one line, before anything is measured, and nothing is left.
func TestWithMistakes(t *testing.T) {
	programs, temp := bin(t), t.TempDir()
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", temp)
	withTree(t)
	checkMistakes(t, programs, []mistake{
		{exitUsage, "is not in the source tree of chatd; run bench there, or say where it is with -source DIR", tinyRun("good", "x", "-with", "example.com/lib=slow")},
		{exitUsage, "is not a replacement of a module; write MODULE=PATH", tinyRun("good", "x", "-with", "slow")},
		{exitUsage, "leave -chatd out", tinyRun("good", "x", "-with", "example.com/lib=slow", "-chatd", "y")},
		{exitUsage, "like -backends gnet", tinyRun("", "x", "-with", "example.com/lib=slow", "-arm", "a=good")},
		{exitUsage, "is listed twice", tinyRun("good", "x", "-with", "example.com/lib=slow", "-source", "chat", "-arm", "good+=good")},
		{exitUsage, "chatd does not use the module example.com/none", tinyRun("good", "x", "-with", "example.com/none=slow", "-source", "chat")},
	})
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
