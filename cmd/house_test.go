// Package house holds the tree to the rules of ARCHITECTURE.md: who may import
// whom, how long a file and a function may be, and what has to be documented.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "chatbench"
	maxLines  = 400 // of a file
	maxFunc   = 70  // lines of a function
	rootOfAll = ".."
)

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Doc, Name                               string
	Imports, TestImports, XTestImports, GoFiles, TestGoFiles []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = rootOfAll
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		pkgs = append(pkgs, p)
	}
}

// rule forbids packages below from to import packages that no prefix of allow names.
type rule struct {
	from   []string // import paths; a trailing /… takes all below
	but    []string // of those, import paths that may
	except []string // import paths that are fine all the same; a trailing /… takes all below
	deny   []string // prefixes, within the module or outside
	why    string
}

var rules = []rule{
	{from: []string{"core/wire"}, deny: []string{"chatbench/", "net", "os", "syscall", "log", "time", "golang.org/"},
		except: []string{"net/netip"}, why: "core/wire is leaf code: bytes in, frames out"},
	{from: []string{"core"}, deny: []string{"net", "os", "syscall", "log", "io", "chatbench/", "golang.org/x/sys", "golang.org/x/crypto"},
		except: []string{"net/netip", "chatbench/core/wire"}, why: "core is sans-I/O"},
	{from: []string{"core/…"}, deny: []string{"chatbench/"}, except: []string{"chatbench/core/…"}, why: "nothing is below core"},
	{from: []string{"backends/…"}, deny: []string{"chatbench/bench", "chatbench/loadgen", "chatbench/client", "chatbench/server", "chatbench/cmd"},
		why: "a transport knows the core and its own library"},
	{from: []string{"server/…"}, deny: []string{"chatbench/"},
		except: []string{"chatbench/server/…", "chatbench/internal/…", "chatbench/core/…", "chatbench/backends"},
		why:    "the server is given its transport, and knows none by name"},
	{from: []string{"internal/…"}, deny: []string{"chatbench/"}, except: []string{"chatbench/internal/…"}, why: "internal serves all and knows none"},
	{from: []string{"loadgen/…", "client/…"}, deny: []string{"chatbench/backends", "chatbench/server", "chatbench/bench", "chatbench/core"},
		except: []string{"chatbench/core/wire", "chatbench/core/units"}, why: "load and clients speak the wire alone"},
	{from: []string{"loadgen/…"}, but: []string{"loadgen/fetch"}, deny: []string{"chatbench/client"},
		why: "the generator is no client of people's; loadgen/fetch alone measures what those do"},
	{from: []string{"bench/…"}, deny: []string{"chatbench/backends", "chatbench/server", "chatbench/core", "chatbench/client"},
		except: []string{"chatbench/core/units"}, why: "bench starts chatd as a user would"},
}

func (r rule) covers(path string) bool {
	return !slices.Contains(r.but, path) && named(path, r.from)
}

// named says whether path is among paths, of which one with a trailing /… takes
// all below.
func named(path string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		base, below := strings.CutSuffix(p, "/…")
		return path == base || below && strings.HasPrefix(path, base+"/")
	})
}

func under(imp, prefix string) bool {
	return imp == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(imp, strings.TrimSuffix(prefix, "/")+"/")
}

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		for _, imp := range p.Imports {
			for _, r := range rules {
				if r.covers(p.ImportPath) &&
					slices.ContainsFunc(r.deny, func(d string) bool { return under(imp, d) }) &&
					!named(imp, r.except) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, r.why)
				}
			}
			if imp == module+"/backends/all" && p.ImportPath != "cmd/chatd" {
				t.Errorf("%s imports %s: only cmd/chatd and tests name all transports", p.ImportPath, imp)
			}
			if imp == module+"/server" && p.ImportPath != "server/command" {
				t.Errorf("%s imports %s: only server/command and tests do", p.ImportPath, imp)
			}
			if isTransport(p.ImportPath) && isTransport(strings.TrimPrefix(imp, module+"/")) {
				t.Errorf("%s imports %s: a transport never imports another", p.ImportPath, imp)
			}
		}
	}
}

// isTransport says whether a package stands for one concurrency model.
func isTransport(path string) bool {
	name, ok := strings.CutPrefix(path, "backends/")
	return ok && !strings.Contains(name, "/") && !slices.Contains([]string{"all", "backendtest"}, name)
}

func TestDocs(t *testing.T) {
	for _, p := range list(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package doc comment", p.ImportPath)
		}
		if !isTransport(p.ImportPath) {
			continue
		}
		doc, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Error(err)
		}
		for _, heading := range []string{"# Model", "# Who owns what", "# Known limits"} {
			if !bytes.Contains(doc, []byte(heading)) {
				t.Errorf("%s/doc.go lacks the heading %q", p.ImportPath, heading)
			}
		}
	}
}

func TestLengthAndFormat(t *testing.T) {
	err := filepath.WalkDir(rootOfAll, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(src, []byte("\n")); n > maxLines {
			t.Errorf("%s: %d lines, %d at most", path, n, maxLines)
		}
		if formatted, err := format.Source(src); err != nil || !bytes.Equal(src, formatted) {
			t.Errorf("%s: gofmt would change it (%v)", path, err)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > maxFunc {
					t.Errorf("%s: func %s has %d lines, %d at most", path, f.Name.Name, n, maxFunc)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCoreIsPure keeps the clock and goroutines out of the core: time arrives
// as an argument, and whoever calls brings the goroutine.
func TestCoreIsPure(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(rootOfAll, "core", "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatal(err, "no core")
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%v: the core starts a goroutine", files.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" &&
					slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, n.Sel.Name) {
					t.Errorf("%v: the core uses time.%s", files.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestMains keeps what a command does out of its main.
func TestMains(t *testing.T) {
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatal(err, "no mains")
	}
	for _, path := range mains {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(src, []byte("\n")); n > 80 {
			t.Errorf("%s: %d lines, 80 at most", path, n)
		}
	}
}
