package record

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is a run with two rounds of one arm.
func sample(t *testing.T) *Run {
	t.Helper()
	h := hdrhistogram.New(1, int64(time.Hour), 3)
	for v := int64(1000); v < 5_000_000; v += 997 {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	cpu := int64(123_456_789)
	run := &Run{
		Manifest: Manifest{
			Schema: Schema, Name: "sample", Reference: "a.b",
			Started: time.Unix(1_700_000_000, 0).UTC(),
			Arms:    []Arm{{Name: "a.b", Backend: "a.b"}},
			Loads:   []Load{{Name: "fixed1000", Clients: 100, Senders: 100, Rate: 1000, Arrivals: "fixed", Size: 64, Duration: time.Second}},
			Rounds:  2, Rules: DefaultRules(),
			Servers: map[string]map[string]any{"a.b": {"backlog": float64(4096)}},
		},
		Env:        Env{Schema: Schema, CPU: "a & b <c>"},
		Histograms: make(map[Key]*hdrhistogram.Histogram),
	}
	for i := range 2 {
		started := int64(1_700_000_000_123 + 1001*i)
		run.Rounds = append(run.Rounds, Round{
			Schema: Schema, Seq: i + 1, Round: i + 1, Load: "fixed1000", Arm: "a.b", Backend: "a.b",
			StartedMs: started, Wall: time.Second, Sent: Summarize(h), Usage: Usage{CPU: &cpu},
		})
		run.Histograms[Key{"fixed1000", "a.b", StreamSent, started}] = h.Clone()
	}
	run.Rounds[1].Void = []Reason{Steal, Lost}
	return run
}

func write(t *testing.T, run *Run) string {
	t.Helper()
	files, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRoundTrip(t *testing.T) {
	run := sample(t)
	dir := write(t, run)
	got, sums, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Manifest, run.Manifest) || !reflect.DeepEqual(got.Env, run.Env) || !reflect.DeepEqual(got.Rounds, run.Rounds) {
		t.Errorf("read %+v\nwrote %+v", got, run)
	}
	if len(got.Histograms) != 2 {
		t.Fatalf("%d histograms, want 2", len(got.Histograms))
	}
	for key, h := range run.Histograms {
		if back := got.Histograms[key]; back == nil || Summarize(back) != Summarize(h) {
			t.Errorf("%v did not come back", key)
		}
	}
	files, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := Sums(files); !reflect.DeepEqual(sums, want) {
		t.Errorf("sums %v, want %v", sums, want)
	}
	if got.Rounds[0].Usage.Syscalls != nil || !strings.Contains(string(files[EnvFile]), `"a & b <c>"`) {
		t.Error("what was not measured came back as a number, or text was escaped")
	}
}

// TestLogForOthers: HdrHistogram's own reader can read the log.
func TestLogForOthers(t *testing.T) {
	files, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	log := hdrhistogram.NewHistogramLogReader(bytes.NewReader(files["fixed1000.hlog"]))
	for i := range 2 {
		h, err := log.NextIntervalHistogram()
		if err != nil || h == nil {
			t.Fatalf("interval %d: %v, %v", i, h, err)
		}
		if h.Tag() != "a.b.sent" || h.TotalCount() == 0 {
			t.Errorf("interval %d: tag %q, %d values", i, h.Tag(), h.TotalCount())
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file, old, new, want string
	}{
		"another schema":   {RoundsFile, `"schema":3`, `"schema":9`, "schema 9"},
		"an unknown field": {RoundsFile, `"seq":1`, `"sequence":1`, "sequence"},
		"two in a line":    {EnvFile, "}\n", "}{}\n", "env.json"},
		"a torn histogram": {"fixed1000.hlog", "HISTF", "HISTG", "fixed1000.hlog, line"},
		"a short line":     {"fixed1000.hlog", "Tag=a.b.sent,1700000000.123000,", "Tag=a.b.sent,", "fixed1000.hlog, line"},
		"a missing tag":    {"fixed1000.hlog", "Tag=a.b.sent,", "", "fixed1000.hlog, line"},
	} {
		dir := write(t, sample(t))
		path := filepath.Join(dir, c.file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(data), c.old, c.new, 1)
		if changed == string(data) {
			t.Fatalf("%s: nothing to change", name)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to name %q", name, err, c.want)
		}
	}
	if _, _, err := Read(t.TempDir()); !errors.Is(err, ErrNotRun) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestMerge(t *testing.T) {
	narrow, wide := hdrhistogram.New(1, 1000, 2), hdrhistogram.New(1, 1_000_000, 3)
	for _, err := range []error{narrow.RecordValue(500), wide.RecordValue(900_000)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := Merge([]*hdrhistogram.Histogram{nil, narrow, wide})
	if sum.TotalCount() != 2 || sum.Max() < 899_000 || narrow.TotalCount() != 1 {
		t.Errorf("merged %d values up to %d", sum.TotalCount(), sum.Max())
	}
	if Merge([]*hdrhistogram.Histogram{nil, hdrhistogram.New(1, 10, 1)}) != nil {
		t.Error("nothing merged is something")
	}
	if (Summarize(nil) != Latency{}) {
		t.Error("nothing has a latency")
	}
}

func TestReasons(t *testing.T) {
	r := Round{Marks: []Reason{GeneratorLimited}}
	if !r.Counts() || !r.Marked(GeneratorLimited) || r.Marked(Steal) {
		t.Error("a mark voids, or is not found")
	}
	r.Void = []Reason{Steal}
	if r.Counts() || Steal.Violation() || !Lost.Violation() || !ServerDied.Violation() || GeneratorLimited.Violation() || NotStarted.Violation() || Starved.Violation() {
		t.Error("void rounds count, or reasons are mixed up")
	}
}
