package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// knownBackends is a chatd with these backends at every path but /nowhere.
func knownBackends(these []Backend) func(string) ([]Backend, error) {
	return func(chatd string) ([]Backend, error) {
		if strings.HasSuffix(chatd, "nowhere") {
			return nil, errors.New("no chatd there")
		}
		return these, nil
	}
}

// TestNamedArms: arms with names, and servers of their own, next to backends.
func TestNamedArms(t *testing.T) {
	p := Quick(record.Broadcast, []string{"gnet"})
	p.Arms = []string{"old=/tmp/a@1:x/chatd:epoll", "new=epoll", "two=b/chatd:process@spawn-ahead=64", "three=epoll@advertise=a:1", "four=/tmp/X:9/chatd:Epoll2-x", "five=2poll", "six=c/chatd:epoll@tls@linger=1s"}
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	arms, err := p.arms(knownBackends(testBackends))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := filepath.Abs("b/chatd")
	c, _ := filepath.Abs("c/chatd")
	want := []record.Arm{
		{Name: "gnet", Backend: "gnet", Gaps: testBackends[2].Gaps},
		{Name: "old", Backend: "epoll", Chatd: "/tmp/a@1:x/chatd"},
		{Name: "new", Backend: "epoll"},
		{Name: "two", Backend: "process", Chatd: b, Args: []string{"-spawn-ahead=64"}},
		{Name: "three", Backend: "epoll", Args: []string{"-advertise=a:1"}},
		{Name: "four", Backend: "Epoll2-x", Chatd: "/tmp/X:9/chatd"},
		{Name: "five", Backend: "2poll"},
		{Name: "six", Backend: "epoll", Chatd: c, Args: []string{"-linger=1s"}, TLS: true},
		{Name: "gnet.aa", Backend: "gnet", Again: true, Gaps: testBackends[2].Gaps},
	}
	if !reflect.DeepEqual(arms, want) {
		t.Errorf("%+v", arms)
	}
	p.Backends = nil
	if arms, err = p.arms(knownBackends(testBackends)); err != nil || arms[len(arms)-1].Name != "old.aa" || arms[len(arms)-1].Chatd != "/tmp/a@1:x/chatd" {
		t.Errorf("%+v, %v", arms, err)
	}
	for text, want := range map[string]string{
		"epoll":             "is not an arm; write NAME=",
		"=epoll":            "cannot be named",
		"a/b=epoll":         "cannot be named",
		"x.aa=epoll":        "cannot be named",
		"null=epoll":        "cannot be named",
		"a=":                "is not an arm",
		"a=/tmp/chatd":      "is not an arm",
		"gnet=epoll":        "arm gnet is listed twice",
		"a=nosuch":          `unknown backend "nosuch"`,
		"a=/c:nosuch":       "(in /c)",
		"a=epoll@x":         "is not a flag of chatd",
		"a=epoll@listen=x":  "bench sets -listen of chatd itself",
		"a=epoll@tls-key=x": "bench sets -tls-key of chatd itself",
		"a=epoll@tls=yes":   `"tls=yes" has a value; write BACKEND@tls`,
		"a=/nowhere:epoll":  "no chatd there",
	} {
		p := Quick(record.Broadcast, []string{"gnet"})
		p.Arms = []string{text}
		err := p.check()
		if err == nil {
			_, err = p.arms(knownBackends(testBackends))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestBackendNames: the names of a chatd's backends must fit everywhere that bench writes
// them, and must not be names that bench uses itself.
func TestBackendNames(t *testing.T) {
	dir := t.TempDir()
	for list, want := range map[string]string{
		`[{"name":"Epoll"},{"name":"2-way"}]`:      "",
		`[{"name":"epoll"},{"name":"null"}]`:       `a backend named "null", which bench uses itself`,
		`[{"name":"all"}]`:                         `a backend named "all", which bench uses itself`,
		`[{"name":"a"},{"name":"b"},{"name":"a"}]`: `two backends named "a"`,
		`[{"name":""}]`:                            `a backend named ""`,
		`[{"name":"-x"}]`:                          `a backend named "-x"`,
		`[{"name":"a b"}]`:                         `a backend named "a b"`,
		`[{"name":"a.aa"}]`:                        `a backend named "a.aa"`,
		`[{"name":"a@b=1"}]`:                       `a backend named "a@b=1"`,
		`[]`:                                       "names no backend",
		`{}`:                                       "something that is not a list",
	} {
		chatd := filepath.Join(dir, "chatd")
		if err := os.WriteFile(chatd, []byte("#!/bin/sh\necho '"+list+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Backends(t.Context(), chatd)
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %v, want %q", list, err, want)
		}
	}
}

// TestRelativePath: results contain the server's path within the tree, not the path of
// the tree.
func TestRelativePath(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(here, "bin", "chatd"): filepath.Join("bin", "chatd"),
		filepath.Join(here, "..", "chatd"):  filepath.Join(here, "..", "chatd"),
		"/elsewhere/chatd":                  "/elsewhere/chatd",
		"bin/chatd":                         "bin/chatd",
	} {
		if got := relativePath(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// TestUnavailable: all leaves out backends that cannot run, and reports them; otherwise they
// are refused.
func TestUnavailable(t *testing.T) {
	known := append([]Backend{{Name: "new", Unavailable: "the kernel is too old"}}, testBackends...)
	p := Quick(record.Broadcast, []string{All})
	leftOut := p.expandAll(known)
	if len(leftOut) != 1 || leftOut[0].Name != "new" || !slices.Equal(p.Backends, names(testBackends)) {
		t.Errorf("all is %q, without %+v", p.Backends, leftOut)
	}
	p.Backends = []string{"new"}
	if _, err := p.arms(knownBackends(known)); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "the kernel is too old") {
		t.Errorf("asked for by name: %v", err)
	}
}
