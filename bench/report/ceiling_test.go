package report

import (
	"bytes"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// TestCeiling: what generator and null server reach is the median of the rounds
// that count, and the summary says of how many and how busy both were.
func TestCeiling(t *testing.T) {
	run := sample(t)
	first := run.Rounds[0]
	for i, deliveries := range []int64{10e6, 50e6, 1} {
		r := first
		r.Round, r.Traffic.Deliveries = 5*(i+1), deliveries
		if deliveries == 1 {
			r.Void = []record.Reason{record.Disturbed}
		}
		run.Rounds = append(run.Rounds, r)
	}
	want := float64(first.Traffic.Deliveries)
	if got := Ceiling(run, "window128"); got != want || Ceiling(run, "fixed1000") != 0 {
		t.Errorf("%v, want %v", got, want)
	}
	var text bytes.Buffer
	s := Summarize(run, nil)
	s.Loads[1].limits(&text)
	if !strings.Contains(text.String(), "(median of 3; null server ") || !strings.Contains(text.String(), ", generator 60 %)") {
		t.Error(text.String())
	}
	if csv := string(s.csv()); !strings.Contains(csv, "window128,null,deliveries/s,higher,3,") {
		t.Error(csv)
	}
}

// TestNoCeilingByTLS: the rate of an arm whose clients speak TLS is held against no
// null server, which speaks none: it is neither marked nor put beside it.
func TestNoCeilingByTLS(t *testing.T) {
	run := sample(t)
	near := run.Rounds[2]
	if near.Arm != "epoll" || near.Load != "window128" || len(near.Marks) > 0 {
		t.Fatalf("%s under %s, %v", near.Arm, near.Load, near.Marks)
	}
	near.Traffic.Deliveries = 29e6
	for _, byTLS := range []bool{false, true} {
		run.Manifest.Arms[0].TLS = byTLS
		if err := verifyRound(run, &near); (err == nil) != byTLS {
			t.Errorf("by TLS %v, near the ceiling and not marked: %v", byTLS, err)
		}
		var text bytes.Buffer
		s := Summarize(run, nil)
		s.Loads[1].limits(&text)
		_, used, _ := strings.Cut(text.String(), "epoll (server ")
		used, _, _ = strings.Cut(used, ")")
		if used == "" || strings.Contains(used, "null server") == byTLS {
			t.Errorf("by TLS %v: %s", byTLS, text.String())
		}
		if strings.Count(text.String(), "goroutine (server") != 1 || !strings.Contains(text.String(), "of the rate with the null server") {
			t.Errorf("by TLS %v: %s", byTLS, text.String())
		}
	}
}
