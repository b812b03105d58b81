package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if line, differ := difference(got, want); differ {
		t.Errorf("%s, line %d differs; look at the change, then run go test -update\n%s", name, line, got)
	}
}

func TestGolden(t *testing.T) {
	run := sample(t)
	s := Summarize(run, map[string]string{"raw": "sum"})
	var text bytes.Buffer
	s.Text(&text, Style{Width: 100}, "results/sample")
	golden(t, "summary.txt", text.Bytes())
	golden(t, "summary.csv", s.csv())
	golden(t, "bench.txt", benchText(run))
	checks, err := record.JSON(s.Checks)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "checks.json", checks)
}

// TestColour: colour adds escapes and changes nothing else.
func TestColour(t *testing.T) {
	s := Summarize(sample(t), nil)
	var plain, coloured bytes.Buffer
	s.Text(&plain, Style{}, "")
	s.Text(&coloured, Style{Color: true}, "")
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), "")
	if stripped != plain.String() || coloured.Len() == plain.Len() {
		t.Error("colour changes the text, or is not there")
	}
	for line := range strings.Lines(plain.String()) {
		if n := len([]rune(line)); strings.ContainsAny(line, "┤└") && n > 81 {
			t.Errorf("%d columns on a terminal of 80: %q", n-1, line)
		}
	}
}

func TestVerdicts(t *testing.T) {
	s := Summarize(sample(t), nil)
	for _, c := range []struct{ load, arm, key, want string }{
		{"fixed1000", "epoll", keyCPU, "cheaper"},
		{"fixed1000", "epoll", keySyscalls, "tie"},
		{"fixed1000", "goroutine.aa", keyCPU, holds},
		{"window128", "epoll", keyRate, "faster"},
	} {
		for i := range s.Loads {
			if s.Loads[i].Name != c.load {
				continue
			}
			v := s.Loads[i].arm(c.arm).Figures[c.key].Versus
			if v == nil || v.Verdict != c.want {
				t.Errorf("%s, %s, %s: %+v, want %q", c.load, c.arm, c.key, v, c.want)
			}
		}
	}
	if ref := s.Loads[0].arm("goroutine").Figures[keyCPU].Versus; ref != nil {
		t.Errorf("the reference against itself: %+v", ref)
	}
	if s.Violated() {
		t.Error("a clean run is in violation")
	}
}

// TestBounded: if the generator was the limit in most rounds, a rate is a
// lower bound, and there is no verdict that a higher rate could reverse. Half of the
// rounds are not most; and if the server was busy all the time and the
// generator waited for it, the server was the limit.
func TestBounded(t *testing.T) {
	run := sample(t)
	mark := func(arm string, rounds int, busy float64) {
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Arm == arm && r.Load == "window128" {
				if r.Marks, r.Traffic.GeneratorBusy = nil, busy; r.Round <= rounds {
					r.Marks = []record.Reason{record.GeneratorLimited}
				}
			}
		}
	}
	arm := func() *ArmSummary { return Summarize(run, nil).Loads[1].arm("epoll") }
	rate := func() Figure { return arm().Figures[keyRate] }
	mark("epoll", 8, 0.9)
	if f := rate(); !f.AtLeast || f.Versus.Verdict != "faster" || !strings.HasPrefix(f.value(find(keyRate), false), "≥ ") {
		t.Errorf("at least so fast is faster still: %+v %+v", f, f.Versus)
	}
	mark("goroutine", 5, 0.9)
	if f := rate(); f.Versus.Verdict != "not resolved" || f.Versus.Reason != stats.FullGenerator {
		t.Errorf("faster than a reference that could do more: %+v", f.Versus)
	}
	for _, c := range []struct {
		name   string
		rounds int
		busy   float64
		least  bool
		limit  string
	}{
		{"five of eight rounds are marked", 5, 0.9, true, "both"},
		{"four of eight", 4, 0.9, false, "server"},
		{"a generator that waits for the server", 8, 0.79, false, "server"},
		{"a busy generator far from its ceiling", 0, 0.97, false, "server"},
	} {
		mark("epoll", c.rounds, c.busy)
		if a := arm(); a.Figures[keyRate].AtLeast != c.least || a.Limit != c.limit {
			t.Errorf("%s: limit %q, at least %v", c.name, a.Limit, a.Figures[keyRate].AtLeast)
		}
	}
	for i := range run.Rounds { // a server with time to spare
		if r := &run.Rounds[i]; r.Arm == "epoll" && r.Load == "window128" {
			*r.Usage.CPU = *r.Usage.CPU * 4 / 5
		}
	}
	mark("epoll", 0, 0.97)
	if a := arm(); a.Limit != "generator" || !a.Figures[keyRate].AtLeast {
		t.Errorf("a busy generator and a server that waits: limit %q, at least %v", a.Limit, a.Figures[keyRate].AtLeast)
	}
}

func TestVoidRounds(t *testing.T) {
	run := sample(t)
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == "epoll" && r.Load == "fixed1000" && r.Round <= 2 {
			r.Traffic.Lost, r.Void = 3, []record.Reason{record.Lost}
		}
	}
	s := Summarize(run, nil)
	if !s.Violated() || s.Checks.VoidRounds != 2 || s.Checks.Void[record.Lost] != 2 || s.Checks.Checks[0].OK {
		t.Errorf("checks %+v", s.Checks)
	}
	if n := bytes.Count(benchText(run), []byte("\nBenchmark")); n != 48-2 {
		t.Errorf("benchstat would count %d rounds", n)
	}
	arm := s.Loads[0].arm("epoll")
	if arm.Rounds != 6 || arm.Void != 2 || arm.Figures[keyCPU].N != 6 || arm.Figures[keyCPU].Versus.N != 6 {
		t.Errorf("counted %d rounds, %d void, %d values, %d pairs", arm.Rounds, arm.Void, arm.Figures[keyCPU].N, arm.Figures[keyCPU].Versus.N)
	}
	var text bytes.Buffer
	s.Text(&text, Style{}, "")
	for _, want := range []string{"NOT CORRECT", "6 lost", "2 of 48 rounds void: 2 lost"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the summary does not say %q:\n%s", want, text.String())
		}
	}
}

// TestBrokenRounds: a round that broke off has no ledger, and nothing
// calls its run correct.
func TestBrokenRounds(t *testing.T) {
	for _, reason := range []record.Reason{record.ServerDied, record.Disconnected, record.TargetMissed} {
		run := sample(t)
		run.Rounds[1].Void, run.Rounds[1].Error, run.Rounds[1].Traffic = []record.Reason{reason}, "it broke off", record.Traffic{}
		s := Summarize(run, nil)
		if first := s.Checks.Checks[0]; first.OK || !s.Violated() || !strings.Contains(first.Detail, ", and in 1 of 48 rounds the server died, cut a client or did not keep up") {
			t.Errorf("%s: %+v", reason, first)
		}
		var markdown bytes.Buffer
		s.Markdown(&markdown, run)
		page, err := s.html(run)
		if err != nil {
			t.Fatal(err)
		}
		pair := ComparePair(run, sample(t), "a", "b")
		var compared bytes.Buffer
		pair.Text(&compared, Style{})
		for form, said := range map[string]string{"text": text(s, Style{}), "Markdown": markdown.String(), "page": string(page), "list": s.Line(), "compare": compared.String()} {
			if !strings.Contains(said, "NOT CORRECT") || strings.Contains(said, "Every message arrived") {
				t.Errorf("%s, %s:\n%.2000s", reason, form, said)
			}
		}
		if pair.A.Correct || !pair.B.Correct {
			t.Errorf("%s: %+v, %+v", reason, pair.A, pair.B)
		}
	}
	run := sample(t) // what the machine did is nobody's fault
	run.Rounds[1].Void = []record.Reason{record.Steal}
	if s := Summarize(run, nil); !s.Checks.Checks[0].OK {
		t.Errorf("%+v", s.Checks.Checks[0])
	}
}

// TestPriceOfCounting: if counting is more than a fiftieth of the cost of a delivery,
// that is reported; if its price is not known, nothing is.
func TestPriceOfCounting(t *testing.T) {
	said := func(call, change *float64) (checks, failed int) {
		run := sample(t)
		run.Env.CallPrice, run.Env.SwitchPrice = call, change
		s := Summarize(run, nil)
		for _, c := range s.Checks.Checks {
			if strings.HasSuffix(c.Name, ": counting costs little") {
				if checks++; !c.OK {
					failed++
				}
			}
		}
		if text := strings.Join(s.failed(), "\n"); strings.Contains(text, "counting costs little\" failed for ") != (failed > 0) {
			t.Errorf("%d checks failed, said is:\n%s", failed, text)
		}
		return checks, failed
	}
	ns := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		call, change   *float64
		checks, failed int
	}{
		{nil, nil, 0, 0},
		{ns(40), nil, 6, 0}, // 0.8 ns, for 50 deliveries share a call: not 2 % of 50
		{ns(100), nil, 6, 1},
		{ns(6500), nil, 6, 4}, // 130 ns are more than 2 % of 5600, and of 50 and 500
		{nil, ns(-1e9), 6, 0}, // noise
		{ns(10_000), ns(0), 6, 6},
	} {
		if checks, failed := said(c.call, c.change); checks != c.checks || failed != c.failed {
			t.Errorf("%+v: %d checks, %d failed", c, checks, failed)
		}
	}
}

// TestHTML: the page needs no other file, its plots are well-formed, and
// no name becomes markup.
func TestHTML(t *testing.T) {
	run := sample(t)
	run.Manifest.Name = "<script>alert(1)</script>"
	page, err := Summarize(run, nil).html(run)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>alert", "http:", "https:", "@import", "url(", "NaN", "Inf", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
	plots := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1)
	for i, plot := range plots {
		dec := xml.NewDecoder(bytes.NewReader(plot))
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("plot %d: %v", i, err)
				break
			}
		}
	}
}

func TestPrinting(t *testing.T) {
	for got, want := range map[string]string{
		count(23_456_789): "23.5 M", count(999): "999", count(12_345): "12.3 k", count(0): "0",
		plain(4759.3): "4759", plain(47.59): "47.6", plain(0.0401): "0.04", plain(0.00123): "0.0012",
		duration(1500): "1.5 µs", duration(2e6): "2 ms", duration(3e9): "3 s", duration(12): "12.0 ns",
		small(1.02): "1.020", small(0.00104): "0.001", thousandth(0.0052): "5.20", digits(0.8123): "0.81", digits(151): "151", digits(0.0987): "0.099",
		Finds{Difference: 0.034}.size(): "3.4 %", Finds{Difference: 0.3}.size(): "30 %", percentile(4): "99.99 %",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if fmt.Sprint(freeRow([]string{"", "x", ""}, 1)) != "0" {
		t.Error("a label goes where one is")
	}
}

// TestManyArms: if the arms do not fit next to one another, each has a line,
// and checks that failed for several of them share one.
func TestManyArms(t *testing.T) {
	run := sample(t)
	for _, name := range []string{"gnet", "evio"} {
		run.Manifest.Arms = append(run.Manifest.Arms, record.Arm{Name: name, Backend: name, Gaps: map[string]string{"half-close": "its library closes"}})
		for _, r := range run.Rounds {
			if r.Arm == "epoll" && r.Round <= 3 {
				r.Arm = name
				run.Rounds = append(run.Rounds, r)
			}
		}
	}
	var out strings.Builder
	Summarize(run, nil).Text(&out, Style{}, "")
	for _, want := range []string{
		"\n  epoll                 0.80 (0.79–0.81)  1.00",
		" ?\n  = a tie, ? not resolved; •: primary",
		`the check "fixed1000: enough rounds" failed for gnet (3 count), evio (3 count)`,
		"gnet does not pass half-close of the conformance suite: its library closes",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestIdleArms: logins of arms with fewer clients are not compared, the cost of a
// client is; and a round in which a client was disconnected is not correct.
func TestIdleArms(t *testing.T) {
	run := sample(t)
	m := &run.Manifest
	m.Loads = []record.Load{{Name: "idle10", Scenario: record.Idle, Clients: 10}}
	m.Arms[0].Clients = 5
	for i := range run.Rounds {
		r := &run.Rounds[i]
		base := *r.Usage.RSS / 2
		r.Load, r.Traffic = "idle10", record.Traffic{Clients: 10}
		r.Login, r.Usage.RSSBase = record.Latency{Count: 10, P50: 1000, P99: 2000}, &base
	}
	l := Summarize(run, nil).Loads[0]
	few, again := l.arm("epoll").Figures, l.arm("goroutine.aa").Figures
	if few[keyLogin].Versus != nil || few[keyLoginP99].Versus != nil || few[keyRSSEach].Versus == nil || again[keyLogin].Versus == nil {
		t.Errorf("logins %+v, memory %+v, A/A %+v", few[keyLogin].Versus, few[keyRSSEach].Versus, again[keyLogin].Versus)
	}
	each := few[keyRSSEach].Median // of one number of clients: 6 MiB by 10
	for i := range run.Rounds {
		u := &run.Rounds[i].Usage
		first := *u.RSS - 8<<20
		u.FirstClients, u.RSSFirst = 2, &first
	}
	slope := Summarize(run, nil).Loads[0].arm("epoll").Figures
	if got := slope[keyRSSEach].Median; got != 1<<20 || math.Abs(each/(6<<20)*10-1) > 0.05 {
		t.Errorf("RSS a client is %v as a slope of 8 MiB by 8 clients, %v from none", got, each)
	}
	if _, ok := slope[keyPSSEach]; ok {
		t.Error("PSS a client from one number of clients where there are two, or from none")
	}
	if s := Summarize(run, nil); !s.Checks.Checks[0].OK {
		t.Errorf("in order: %+v", s.Checks.Checks[0])
	}
	run.Rounds[1].Void = []record.Reason{record.Disconnected}
	if s := Summarize(run, nil); s.Checks.Checks[0].OK || !strings.HasPrefix(s.correctness(), "NOT CORRECT") {
		t.Errorf("somebody was cut: %s", s.correctness())
	}
}
