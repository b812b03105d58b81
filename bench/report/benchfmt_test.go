package report

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"chatbench/bench/record"
)

// TestBenchFormat reads bench.txt back with the library behind benchstat.
func TestBenchFormat(t *testing.T) {
	run := sample(t)
	run.Rounds[5].Void = []record.Reason{record.Steal}
	reader := benchfmt.NewReader(bytes.NewReader(benchText(run)), "bench.txt")
	lines := 0
	for reader.Scan() {
		switch r := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Fatal(r)
		case *benchfmt.Result:
			lines++
			base, parts := r.Name.Parts()
			if string(base) != "Broadcast" || len(parts) != 5 || string(parts[4]) != "-1" || !strings.HasPrefix(string(parts[0]), "/backend=") {
				t.Fatalf("name %q has parts %q", r.Name, parts)
			}
			if v, ok := r.Value("cpu-sec/delivery"); !ok || v < 1e-9 || v > 1e-5 {
				t.Errorf("CPU per delivery %v, %v: %v", v, ok, r.Values)
			}
			if r.GetConfig("cpu") != "Some CPU" {
				t.Errorf("config cpu is %q", r.GetConfig("cpu"))
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if want := 8*3*2 - 1; lines != want {
		t.Errorf("%d lines, %d rounds count", lines, want)
	}
	units := reader.Units()
	if u := units.GetBetter("deliveries/s"); u != 1 {
		t.Errorf("more deliveries/s are %d", u)
	}
	if u := units.GetBetter("p99.9-sec"); u != -1 {
		t.Errorf("a longer p99.9 is %d", u)
	}
}
