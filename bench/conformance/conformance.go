// Package conformance runs the conformance suite of a backend, which is a Go
// test, and reads its result.
//
// It does not guess: output that ends before the suite does is an error, and
// so is the output of several suites none of which is the backend's. Functions may be
// called from any goroutine.
package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrOutput is returned for input that is not the output of a complete run of a suite.
var ErrOutput = errors.New("conformance: not the output of go test -json of a conformance suite")

// test is the name of the suite's test, in the package of every backend.
const test = "TestConformance"

// Suite is the result of a run of the suite.
type Suite struct {
	Package string        `json:"package"`
	Time    time.Time     `json:"time"` // when it ended
	Took    time.Duration `json:"took_ns"`
	Passed  int           `json:"passed"` // cases
	Failed  []Case        `json:"failed,omitempty"`
	Skipped []Case        `json:"skipped,omitempty"` // cases that cannot be run here
	Gaps    []Case        `json:"gaps,omitempty"`    // cases that the backend is known not to pass
	// Broken: the suite itself failed, maybe without a failed case.
	Broken bool `json:"broken,omitempty"`
}

// Case is a case of the suite that did not pass.
type Case struct {
	Name string `json:"name"`
	Why  string `json:"why,omitempty"` // the first line of its output
}

// OK says whether nothing failed.
func (s *Suite) OK() bool { return len(s.Failed) == 0 && !s.Broken }

// Cases is how many cases there were.
func (s *Suite) Cases() int { return s.Passed + len(s.Failed) + len(s.Skipped) + len(s.Gaps) }

// event is a line of go test -json.
type event struct {
	Time                          time.Time
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// reader reads events one by one.
type reader struct {
	suites     map[string]*Suite
	ended      map[string]bool
	firstLines map[string]string // by package and test, the first line that says why
	cases      func(done int)
	done       int
}

func (r *reader) take(e event) {
	if e.Test != test && !strings.HasPrefix(e.Test, test+"/") {
		return
	}
	s := r.suites[e.Package]
	if s == nil {
		s = &Suite{Package: e.Package}
		r.suites[e.Package] = s
	}
	name := strings.TrimPrefix(e.Test, test+"/")
	if e.Action == "output" {
		r.recordLine(e, name)
		return
	}
	if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
		return
	}
	if e.Test == test {
		r.ended[e.Package], s.Time, s.Took = true, e.Time, time.Duration(e.Elapsed*float64(time.Second))
		s.Broken = e.Action == "fail" && len(s.Failed) == 0
		return
	}
	if strings.Contains(name, "/") { // a part of a case
		return
	}
	one := Case{Name: name, Why: r.firstLines[e.Package+" "+name]}
	switch e.Action {
	case "pass":
		s.Passed++
	case "fail":
		s.Failed = append(s.Failed, one)
	case "skip":
		if why, ok := strings.CutPrefix(one.Why, "gap: "); ok {
			one.Why = why
			s.Gaps = append(s.Gaps, one)
		} else {
			s.Skipped = append(s.Skipped, one)
		}
	}
	if r.done++; r.cases != nil {
		r.cases(r.done)
	}
}

// recordLine keeps the first line of a case's own output: file.go:12: why.
func (r *reader) recordLine(e event, name string) {
	name, _, _ = strings.Cut(name, "/")
	line := strings.TrimSpace(e.Output)
	place, why, ok := strings.Cut(line, ": ")
	if key := e.Package + " " + name; ok && strings.Contains(place, ".go:") && r.firstLines[key] == "" {
		r.firstLines[key] = why
	}
}

// Parse reads the output of go test -json, of the backend's suite or of several
// suites including it. cases, if set, is called with how many cases have ended.
func Parse(in io.Reader, backend string, cases func(done int)) (*Suite, error) {
	r := &reader{suites: make(map[string]*Suite), ended: make(map[string]bool), firstLines: make(map[string]string), cases: cases}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e event
		if line := bytes.TrimSpace(lines.Bytes()); len(line) == 0 {
			continue
		} else if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%w: %.60q", ErrOutput, line)
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	var found *Suite
	for name, s := range r.suites {
		if len(r.suites) == 1 || path.Base(name) == backend {
			found = s
		}
	}
	switch {
	case len(r.suites) == 0:
		return nil, fmt.Errorf("%w: it contains no %s", ErrOutput, test)
	case found == nil:
		return nil, fmt.Errorf("%w: none of the %d suites is in a package %s; record the suite of that package", ErrOutput, len(r.suites), backend)
	case !r.ended[found.Package]:
		return nil, fmt.Errorf("%w: it ends before the suite of %s does", ErrOutput, found.Package)
	case found.Cases() == 0:
		return nil, fmt.Errorf("%w: no case was run", ErrOutput)
	}
	return found, nil
}

// Run runs the suite of a backend in the source tree at root.
func Run(ctx context.Context, root, backend string, cases func(done int)) (*Suite, error) {
	pkg, err := find(root, backend)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-json", "-run", "^"+test+"$", pkg)
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	s, err := Parse(out, backend, cases)
	io.Copy(io.Discard, out)
	failed := cmd.Wait() // the suite may fail too
	if err != nil {
		if first, _, _ := strings.Cut(strings.TrimSpace(complaints.String()), "\n"); first != "" {
			err = fmt.Errorf("conformance: go test %s: %s", pkg, first)
		} else if failed != nil {
			err = fmt.Errorf("%w (go test %s: %w)", err, pkg, failed)
		}
	}
	return s, err
}

// find returns the package whose table entry, a backends.Backend, has that name.
func find(root, backend string) (pkg string, err error) {
	files, err := filepath.Glob(filepath.Join(root, "backends", "*", "*.go"))
	if err != nil {
		return "", fmt.Errorf("conformance: %w", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return "", fmt.Errorf("conformance: %w", err)
		}
		if names(tree, backend) {
			return "./backends/" + filepath.Base(filepath.Dir(file)), nil
		}
	}
	return "", fmt.Errorf("conformance: no package below %s is the backend %s", filepath.Join(root, "backends"), backend)
}

// names says whether a file declares a backends.Backend of that name, as a string
// or as the constant name.
func names(file *ast.File, backend string) (found bool) {
	constant := ""
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if len(n.Names) == 1 && n.Names[0].Name == "name" && len(n.Values) == 1 {
				constant = text(n.Values[0], "")
			}
		case *ast.CompositeLit:
			if of, ok := n.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Backend" {
				for _, field := range n.Elts {
					if pair, ok := field.(*ast.KeyValueExpr); ok && fmt.Sprint(pair.Key) == "Name" {
						found = found || text(pair.Value, constant) == backend
					}
				}
			}
		}
		return true
	})
	return found
}

// text is the value of a string literal, or of the constant name.
func text(e ast.Expr, name string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		said, _ := strconv.Unquote(e.Value)
		return said
	case *ast.Ident:
		if e.Name == "name" {
			return name
		}
	}
	return ""
}
