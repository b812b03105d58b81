package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// drawn is the directories in the drawing of the house, of those whose lines begin
// with names: "gate/           who may come in".
func drawn(t *testing.T) (dirs []string) {
	t.Helper()
	_, rest, found := strings.Cut(readPage(t, "ARCHITECTURE.md").text, "\n## The packages\n")
	_, rest, open := strings.Cut(rest, "```\n")
	drawing, _, closed := strings.Cut(rest, "```\n")
	if !found || !open || !closed {
		t.Fatal("ARCHITECTURE.md has no drawing")
	}
	var parent string
	for line := range strings.Lines(drawing) {
		text, inside := strings.CutPrefix(strings.TrimRight(line, "\n"), "  ")
		for i, name := range strings.Fields(text) {
			dir, isDir := strings.CutSuffix(name, "/")
			if !isDir {
				break
			}
			if inside {
				dir = parent + "/" + dir
			} else if i == 0 {
				parent = dir
			}
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// TestDrawing: the drawing of the house has every package, and nothing that is not there.
func TestDrawing(t *testing.T) {
	dirs := drawn(t)
	for _, dir := range dirs {
		if info, err := os.Stat(filepath.Join(rootOfAll, dir)); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md draws %s, which is not there", dir)
		}
	}
	for _, p := range list(t) {
		if !slices.Contains(dirs, p.ImportPath) {
			t.Errorf("ARCHITECTURE.md does not draw %s", p.ImportPath)
		}
	}
}
