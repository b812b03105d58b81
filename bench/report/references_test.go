package report

import (
	"path/filepath"
	"testing"

	"chatbench/bench/record"
)

// references is the directories of runs that were measured: those that are published,
// and some of an older schema.
func references(t testing.TB) (dirs []string) {
	t.Helper()
	for _, pattern := range []string{"../../results/reference-*", "testdata/schema2-*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no runs at %s: %v", pattern, err)
		}
		if raceEnabled {
			found = found[len(found)-1:] // all take minutes then, and share nothing
		}
		dirs = append(dirs, found...)
	}
	return dirs
}

// committed is what tests need of a run that was measured. To read one takes long and its histograms take a hundred
// megabytes, so that all tests share this, and none may change it.
type committed struct {
	summary *Summary
	page    []byte            // report.html; nil under the race detector
	raw     map[string]string // SHA-256 of the raw files
}

// measured returns what is needed of the run in one of the directories of references. Tests that call it do not run
// in parallel.
func measured(t testing.TB, dir string) *committed {
	t.Helper()
	if c := committedRuns[dir]; c != nil {
		return c
	}
	run, raw, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &committed{summary: Summarize(run, raw), raw: raw}
	if !raceEnabled {
		if c.page, err = c.summary.html(run); err != nil {
			t.Fatal(err)
		}
	}
	committedRuns[dir] = c
	return c
}

var committedRuns = make(map[string]*committed) // by directory
