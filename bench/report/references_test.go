package report

import (
	"path/filepath"
	"testing"
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
