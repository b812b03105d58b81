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
const reference = "../report/testdata/schema2-relay"

// TestComparePair: two directories are compared, in every format,
// wherever the flags are; a page is written completely, where it is asked for.
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

// TestCompareRefuses: a mistake is one line, and nothing is written.
func TestCompareRefuses(t *testing.T) {
	ctx, empty := context.Background(), t.TempDir()
	checkMistakes(t, "", []mistake{
		{exitUsage, "give text, csv or json", []string{"compare", "-format", "xml", reference, reference}},
		{exitUsage, "take two directories", []string{"compare", "-format", "csv", reference}},
		{exitUsage, "take two directories", []string{"compare", "-o", empty, reference, reference, reference}},
		{exitUsage, "has no manifest.json", []string{"compare", reference, empty}},
		{exitUsage, "has no manifest.json", []string{"compare", filepath.Join(empty, "missing"), reference}},
		{exitUsage, "contains a run", []string{"compare", reference, reference, "-o", reference}},
	})
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
