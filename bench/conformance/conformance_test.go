package conformance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// output is the output of go test -json, from a shorter form: PACKAGE ACTION TEST [OUTPUT].
func output(lines ...string) string {
	var all []string
	for _, line := range lines {
		parts := strings.SplitN(line, " ", 4)
		for len(parts) < 4 {
			parts = append(parts, "")
		}
		all = append(all, `{"Time":"2026-03-04T05:06:07Z","Action":"`+parts[1]+`","Package":"m/`+parts[0]+`","Test":"`+parts[2]+`","Output":"`+parts[3]+`","Elapsed":2}`)
	}
	return strings.Join(all, "\n") + "\n"
}

func TestParse(t *testing.T) {
	whole := output(
		"a run TestConformance", "a run TestConformance/talk",
		"a output TestConformance/talk     talk.go:9: nothing to see", "a pass TestConformance/talk",
		"a output TestConformance/slow     slow.go:12: it was not cut", "a output TestConformance/slow     slow.go:13: nor later", "a fail TestConformance/slow",
		"a output TestConformance/churn     x.go:1: gap: its library forgets (it fails with: x)", "a skip TestConformance/churn",
		"a output TestConformance/v6     x.go:1: no IPv6 here", "a skip TestConformance/v6",
		"a pass TestConformance/hostile/one", "a pass TestConformance/hostile",
		"a pass TestOther", "a fail TestConformance")
	s, err := Parse(strings.NewReader(whole), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Suite{
		Package: "m/a", Time: s.Time, Took: s.Took, Passed: 2, Failed: []Case{{"slow", "it was not cut"}},
		Skipped: []Case{{"v6", "no IPv6 here"}}, Gaps: []Case{{"churn", "its library forgets (it fails with: x)"}},
	}
	if !reflect.DeepEqual(s, want) || s.Took.Seconds() != 2 || s.OK() || s.Cases() != 5 {
		t.Errorf("%+v, want %+v", s, want)
	}
	done := 0
	good := output("a pass TestConformance/talk", "a pass TestConformance", "b pass TestConformance/talk", "b fail TestConformance")
	if s, err := Parse(strings.NewReader(good), "a", func(n int) { done = n }); err != nil || !s.OK() || done != 2 {
		t.Errorf("%+v, %v, %d cases", s, err, done)
	}
	if s, err := Parse(strings.NewReader(good), "b", nil); err != nil || s.OK() || !s.Broken {
		t.Errorf("a suite that fails though no case does: %+v, %v", s, err)
	}
	for text, want := range map[string]string{
		"":                                    "it contains no TestConformance",
		"ok  m/a":                             `"ok  m/a"`,
		output("a pass TestOther"):            "it contains no TestConformance",
		output("a pass TestConformance/talk"): "ends before the suite of m/a does",
		output("a pass TestConformance"):      "no case was run",
		output("b pass TestConformance", "c pass TestConformance"): "none of the 2 suites is in a package a",
	} {
		if s, err := Parse(strings.NewReader(text), "a", nil); !errors.Is(err, ErrOutput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, s, err, want)
		}
	}
}

// TestRun: the suite of a backend is found by the backend's name, whatever the name of its
// package.
func TestRun(t *testing.T) {
	root := t.TempDir()
	t.Setenv("GOFLAGS", "")
	for name, text := range map[string]string{
		"go.mod":                      "module m\n\ngo 1.26\n",
		"backends/backends.go":        "package backends\n\ntype Backend struct{ Name string }\n",
		"backends/selectio/doc.go":    "package selectio\n\nimport \"m/backends\"\n\nvar Backend = backends.Backend{Name: \"select\"}\n",
		"backends/poll/doc.go":        "package poll\n\nimport \"m/backends\"\n\nconst name = \"poll\"\n\nvar Backend = backends.Backend{Name: name}\n",
		"backends/broken/doc.go":      "package broken\n\nimport \"m/backends\"\n\nvar Backend = backends.Backend{Name: \"broken\"}\n\nvar x = nothing\n",
		"backends/selectio/x_test.go": "package selectio\n\nimport \"testing\"\n\nfunc TestConformance(t *testing.T) {\n\tt.Run(\"talk\", func(t *testing.T) {})\n\tt.Run(\"slow\", func(t *testing.T) { t.Error(\"too slow\") })\n}\n\nfunc TestOther(t *testing.T) { t.Error(\"not of the suite\") }\n",
		"backends/poll/x_test.go":     "package poll\n\nimport \"testing\"\n\nfunc TestConformance(t *testing.T) { t.Run(\"talk\", func(t *testing.T) {}) }\n",
		"backends/broken/x_test.go":   "package broken\n\nimport \"testing\"\n\nfunc TestConformance(t *testing.T) {}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Run(context.Background(), root, "select", nil)
	if err != nil || s.Package != "m/backends/selectio" || s.Passed != 1 || len(s.Failed) != 1 || s.Failed[0] != (Case{"slow", "too slow"}) || s.Broken {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = Run(context.Background(), root, "poll", nil); err != nil || !s.OK() || s.Passed != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	for name, want := range map[string]string{"nope": "no package below", "broken": "go test ./backends/broken"} {
		if s, err = Run(context.Background(), root, name, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", name, s, err, want)
		}
	}
}
