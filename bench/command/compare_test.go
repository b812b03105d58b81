package command

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/bench/report"
)

// reference is a run that is committed.
const reference = "../report/testdata/schema2-broadcast"

// TestComparePair: two directories are held against each other, in every form,
// wherever the flags stand; a page is written whole, where it is asked for.
func TestComparePair(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	page := filepath.Join(dir, "page.html")
	got := try(ctx, "", "compare", reference, reference, "-o", page)
	if got.status != exitOK || got.stderr != "" || !strings.Contains(got.stdout, "Machine, method, loads and commit are the same.") || !strings.Contains(got.stdout, "Page: "+page) {
		t.Errorf("%+v", got)
	}
	if got := try(ctx, "", "compare", "-o", dir, reference, reference); got.status != exitOK {
		t.Errorf("into a directory: %+v", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != comparePage {
		t.Errorf("written: %v, %v", entries, err)
	}
	one, err := os.ReadFile(page)
	other, err2 := os.ReadFile(filepath.Join(dir, comparePage))
	if err != nil || err2 != nil || !bytes.Equal(one, other) || !bytes.Contains(one, []byte("</html>")) {
		t.Errorf("the pages: %v, %v, %d and %d octets", err, err2, len(one), len(other))
	}
	got = try(ctx, "", "compare", reference, "-format", "csv", reference)
	if rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll(); err != nil || len(rows) < 300 {
		t.Errorf("%d lines of CSV: %v", len(rows), err)
	}
	var pair report.Pair
	if got := try(ctx, "", "compare", reference, reference, "-json"); json.Unmarshal([]byte(got.stdout), &pair) != nil || len(pair.Loads) != 2 || pair.Reference != "goroutine" {
		t.Errorf("as JSON: %+v, %s", pair.Reference, got.stderr)
	}
}

// TestCompareRefuses: what is not understood is one line, and nothing is written.
func TestCompareRefuses(t *testing.T) {
	ctx, empty := context.Background(), t.TempDir()
	for _, c := range []struct {
		want string
		args []string
	}{
		{"there are text, csv and json", []string{"-format", "xml", reference, reference}},
		{"take two directories", []string{"-format", "csv", reference}},
		{"take two directories", []string{"-o", empty, reference, reference, reference}},
		{"has no manifest.json", []string{reference, empty}},
		{"has no manifest.json", []string{filepath.Join(empty, "missing"), reference}},
		{"holds a run", []string{reference, reference, "-o", reference}},
	} {
		got := try(ctx, "", append([]string{"compare"}, c.args...)...)
		if got.status != exitUsage || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%v: %+v, want %q", c.args, got, c.want)
		}
	}
	if got := try(ctx, "", "compare", reference, reference, "-o", filepath.Join(empty, "no", "such", "page.html")); got.status != exitFailed || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a directory that is not there: %+v", got)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := os.Stat(filepath.Join(reference, comparePage)); err == nil {
		t.Error("a page lies in a run")
	}
}
