package build

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// put writes files below a directory.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// proxy is a module proxy of files that has two versions of example.com/lib.
func proxy(t *testing.T, dir string) {
	t.Helper()
	for version, said := range map[string]string{"v1.0.0": "first", "v1.1.0": "newer"} {
		mod := "module example.com/lib\n\ngo 1.26\n"
		var archive bytes.Buffer
		z := zip.NewWriter(&archive)
		for name, text := range map[string]string{"go.mod": mod, "lib.go": fmt.Sprintf("package lib\n\nfunc Say() string { return %q }\n", said)} {
			w, err := z.Create("example.com/lib@" + version + "/" + name)
			if err == nil {
				_, err = w.Write([]byte(text))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		put(t, dir, map[string]string{
			"example.com/lib/@v/list": "v1.0.0\nv1.1.0\n", "example.com/lib/@v/" + version + ".info": fmt.Sprintf("{\"Version\":%q}", version),
			"example.com/lib/@v/" + version + ".mod": mod, "example.com/lib/@v/" + version + ".zip": archive.String(),
		})
	}
}

// tree is a source tree, in git, whose chatd prints what its module lib returns, and
// next to it other copies of lib. Nothing is downloaded.
func tree(t *testing.T) (root string, libs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	proxy(t, filepath.Join(dir, "proxy"))
	for name, value := range map[string]string{
		"GOFLAGS": "-modcacherw", "GOPROXY": "file://" + filepath.Join(dir, "proxy"), "GOSUMDB": "off", "GOPRIVATE": "", "GONOPROXY": "",
		"GOMODCACHE": t.TempDir(), "TMPDIR": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	root, libs = filepath.Join(dir, "chat"), make(map[string]string)
	for name, files := range map[string]map[string]string{
		"second": {"go.mod": "module example.com/lib\n\ngo 1.26\n", "lib.go": "package lib\n\nfunc Say() string { return \"second\" }\n"},
		"broken": {"go.mod": "module example.com/lib\n\ngo 1.26\n", "lib.go": "package lib\n\nfunc Say() string { return nothing }\n"},
		"other":  {"go.mod": "module example.com/other\n\ngo 1.26\n"},
		"bare":   {"lib.go": "package lib\n"},
	} {
		libs[name] = filepath.Join(dir, name)
		put(t, libs[name], files)
	}
	put(t, root, map[string]string{
		"go.mod":            "module chat\n\ngo 1.26\n\nrequire example.com/lib v1.0.0\n",
		"cmd/chatd/main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/lib\"\n)\n\nfunc main() { fmt.Print(lib.Say()) }\n",
		"docs/x.md":         "a directory within\n",
	})
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "x"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	return root, libs
}

// contents is the SHA-256 of every file below a directory.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := make(map[string][32]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/.git/") {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestModules: two builds of the same sources differ in the module, and the
// source tree is unchanged.
func TestModules(t *testing.T) {
	root, libs := tree(t)
	before := contents(t, root)
	m, err := NewModules(context.Background(), filepath.Join(root, "docs"))
	if err != nil {
		t.Fatal(err)
	}
	for name, with := range map[string][]Replacement{
		"first": nil, "second": {{Module: "example.com/lib", Dir: libs["second"]}}, "newer": {{Module: "example.com/lib", Version: "latest"}},
	} {
		path, err := m.Build(context.Background(), name, with)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path).Output(); err != nil || string(out) != name {
			t.Errorf("the build with %v says %q, %v", with, out, err)
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil || len(info.Deps) != 1 || name == "second" && info.Deps[0].Replace.Path != libs["second"] || name == "newer" && info.Deps[0].Version != "v1.1.0" {
			t.Errorf("built of %+v, %v", info.Deps, err)
		}
	}
	if m.Root() != root {
		t.Errorf("the root of %s is %s", root, m.Root())
	}
	if after := contents(t, root); !reflect.DeepEqual(before, after) {
		t.Errorf("files changed: %v, then %v", before, after)
	}
	if out, err := exec.Command("git", "-C", root, "status", "--porcelain").Output(); err != nil || len(out) > 0 {
		t.Errorf("git status: %s, %v", out, err)
	}
	m.Close()
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestMistakes: each says in one line what is wrong.
func TestMistakes(t *testing.T) {
	root, libs := tree(t)
	m, err := NewModules(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, c := range []struct {
		with    string
		want    string
		request bool
	}{
		{"example.com/none=@v1.0.0", "chatd does not use the module example.com/none", true},
		{"example.com/lib=" + libs["bare"], "has no go.mod", true},
		{"example.com/lib=" + libs["bare"] + "/nowhere", "has no go.mod", true},
		{"example.com/lib=" + libs["other"], "contains module example.com/other, not example.com/lib", true},
		{"example.com/lib=@v9.9.9", "version v9.9.9 of example.com/lib is not available", true},
		{"example.com/lib=@v1.0.0", "chatd uses example.com/lib v1.0.0 already", true},
		{"example.com/lib=" + libs["broken"], "lib.go:3:28: undefined: nothing", false},
	} {
		r, err := ParseReplacement(c.with)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Build(context.Background(), string(rune('a'+i)), []Replacement{r})
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrRequest) != c.request || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.with, err, c.want)
		}
	}
	twice := []Replacement{{Module: "example.com/lib", Dir: libs["broken"]}, {Module: "example.com/lib", Dir: libs["second"]}}
	if _, err := m.Build(context.Background(), "twice", twice); err == nil || !strings.Contains(err.Error(), "replaced twice") {
		t.Errorf("%v", err)
	}
	for _, dir := range []string{libs["broken"], "/", filepath.Join(root, "nowhere")} {
		if _, err := NewModules(context.Background(), dir); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), "-source DIR") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, text := range []string{"", "x", "x=", "=y", "x=@", "-x=y", "x@v1=y", "a b=c"} {
		if r, err := ParseReplacement(text); !errors.Is(err, ErrRequest) {
			t.Errorf("%q is %+v, %v", text, r, err)
		}
	}
}

func TestErrorLines(t *testing.T) {
	for text, want := range map[string]string{
		"# a/b\na.go:1: x\n\na.go:2: y\na.go:3: z\na.go:4: too many\n": "a.go:1: x; a.go:2: y; a.go:3: z",
		"go: downloading a v1\ngo: no such thing\n":                    "go: no such thing",
		"": "",
		strings.Repeat("x", complaintOctets) + "ü": strings.Repeat("x", complaintOctets) + "…",
	} {
		if got := errorLines(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
