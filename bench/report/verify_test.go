package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/bench/record"
)

func TestVerify(t *testing.T) {
	run := sample(t)
	files, rounds, err := Verify(store(t, run))
	if err != nil {
		t.Fatal(err)
	}
	// manifest, env, rounds, 2 logs; bench, csv, html, checks; 6 grams
	if files != 5+4+6 || rounds != len(run.Rounds) {
		t.Errorf("%d files, %d rounds in order", files, rounds)
	}
}

// TestRenew: what an older version derived is derived again, but not from raw files
// that were changed.
func TestRenew(t *testing.T) {
	dir := store(t, sample(t))
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(SummaryFile, "as it was long ago")
	if _, _, err := Verify(dir); !errors.Is(err, ErrMismatch) {
		t.Fatalf("old figures agree: %v", err)
	}
	if err := Renew(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(dir); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, record.RoundsFile))
	if err != nil {
		t.Fatal(err)
	}
	write(record.RoundsFile, strings.Replace(string(raw), `"cpu_ns":5`, `"cpu_ns":6`, 1))
	if err := Renew(dir); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), record.RoundsFile) {
		t.Errorf("changed rounds: %v", err)
	}
}

// TestRenewRemoves: percentiles of an arm without rounds that count are an
// older version's, and are removed; a file that does not belong to the run stays, and is found.
func TestRenewRemoves(t *testing.T) {
	run := sample(t)
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Load == "fixed1000" && r.Arm == "epoll" {
			r.Error, r.Void, r.Marks = "it broke off", []record.Reason{record.LoadFailed}, nil
		}
	}
	dir := store(t, run)
	stale, own := filepath.Join(dir, "fixed1000.epoll.hgrm"), filepath.Join(dir, "notes.hgrm")
	for _, path := range []string{stale, own} {
		if err := os.WriteFile(path, []byte("long ago"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Renew(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what is not made any more is still there")
	}
	if _, _, err := Verify(dir); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "notes.hgrm is not a file of this run") {
		t.Errorf("with a file that is not of the run: %v", err)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(dir); err != nil {
		t.Error(err)
	}
}

// TestVerifyFindsAnyChange changes one thing in each kind of file, and for a raw
// file the digest in checks.json as well: the derived files reveal it.
func TestVerifyFindsAnyChange(t *testing.T) {
	dir := store(t, sample(t))
	for _, c := range []struct{ name, file, old, new, want string }{
		{"a measured figure", record.RoundsFile, `"cpu_ns":5`, `"cpu_ns":6`, "not what the raw files give"},
		{"a percentile", record.RoundsFile, `"p99_ns":`, `"p99_ns":1`, "window128.hlog differ in"},
		{"a login", record.RoundsFile, `"login":{"count":0`, `"login":{"count":9`, "differ in"},
		{"a loss covered up", record.RoundsFile, `"lost":0`, `"lost":1`, "the rules give void [lost]"},
		{"a rule bent", record.ManifestFile, `"ceiling_share": 0.7`, `"ceiling_share": 0.01`, "the rules give"},
		{"another seed", record.ManifestFile, `"seed": 7`, `"seed": 8`, "not what the raw files give"},
		{"another machine", record.EnvFile, "Some CPU", "Best CPU", "not what the raw files give"},
		{"a latency", "fixed1000.hlog", "Tag=epoll.due,1800000004.000000", "Tag=epoll.due,1800000004.001000", "differ in epoll.due"},
		{"a printed figure", SummaryFile, "fixed1000,epoll,cpu-ns/delivery,lower,8,5", "fixed1000,epoll,cpu-ns/delivery,lower,8,4", SummaryFile + ", line"},
		{"a benchmark line", BenchFile, "backend=epoll", "backend=other", BenchFile + ", line"},
		{"a check", ChecksFile, `"ok": true`, `"ok": false`, ChecksFile + ", line"},
		{"the page", HTMLFile, "cheaper", "dearer!", HTMLFile + ", line"},
		{"a percentile file", "fixed1000.epoll.hgrm", "0.", "1.", "fixed1000.epoll.hgrm, line"},
	} {
		path := filepath.Join(dir, c.file)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Replace(good, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: %s does not hold %q", c.name, c.file, c.old)
		}
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		honest := forge(t, dir, good, bad)
		if _, _, err := Verify(dir); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
		honest()
	}
	if err := os.Remove(filepath.Join(dir, HTMLFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(dir); !errors.Is(err, ErrMismatch) {
		t.Errorf("a file is gone: %v", err)
	}
	if _, _, err := Verify(t.TempDir()); !errors.Is(err, record.ErrNotRun) {
		t.Errorf("an empty directory: %v", err)
	}
}

// forge puts the digest of a changed file into checks.json, and returns a function that
// undoes it.
func forge(t *testing.T, dir string, good, bad []byte) (undo func()) {
	t.Helper()
	path := filepath.Join(dir, ChecksFile)
	checks, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sums := record.Sums(map[string][]byte{"good": good, "bad": bad})
	forged := bytes.Replace(checks, []byte(sums["good"]), []byte(sums["bad"]), 1)
	if bytes.Equal(forged, checks) { // of a derived file there is none
		return func() {}
	}
	write(forged)
	return func() { write(checks) }
}

// flip changes one bit of a file at that many places, the first and the last octet
// among them, calls ask each time, and restores the bit.
func flip(t *testing.T, path string, places int, ask func() error) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err != nil || len(good) == 0 {
		t.Fatal(err, "an empty file cannot be changed")
	}
	for i := range places {
		at := (len(good) - 1) * i / max(places-1, 1)
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (i % 7)
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := ask(); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, octet %d of %d is %q and not %q: %v", path, at, len(good), bad[at], good[at], err)
		}
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
}

// flipAll does so to every file of a run that is in order: for raw files it calls Verify, for derived
// ones the last step of Verify, because deriving takes long.
func flipAll(t *testing.T, dir string, raw map[string]string, places int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < len(raw)+4 {
		t.Fatalf("%d files, %d of them raw: %v", len(entries), len(raw), err)
	}
	derived := make(map[string][]byte)
	for _, e := range entries {
		if raw[e.Name()] == "" {
			if derived[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, e := range entries {
		ask := func() error { return agree(dir, derived, raw) }
		if raw[e.Name()] != "" {
			ask = func() error { _, _, err := Verify(dir); return err }
		}
		flip(t, filepath.Join(dir, e.Name()), places, ask)
	}
	if err := agree(dir, derived, raw); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// TestVerifyFindsOneBit: one changed bit in any file is found.
func TestVerifyFindsOneBit(t *testing.T) {
	dir := store(t, sample(t))
	_, raw, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	flipAll(t, dir, raw, 23)
	if _, _, err := Verify(dir); err != nil {
		t.Errorf("as it was: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(dir); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a file of somebody else's: %v", err)
	}
}

// TestReferences: the committed runs, of older schemas too, can be read,
// and their derived files are what is derived now; one changed bit in any file is found. If what is derived
// changes intentionally, bench report -renew derives it again.
func TestReferences(t *testing.T) {
	for _, dir := range references(t) {
		if _, _, err := Verify(dir); err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		flipAll(t, copied, measured(t, dir).raw, 3)
	}
}
