package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// scaled is the sample with other noise and an arm, or with "" all, that takes
// so many times the CPU and the latency.
func scaled(t *testing.T, seed uint64, arm string, cpu, latency float64) *record.Run {
	t.Helper()
	run := sampleOf(t, seed)
	for i := range run.Rounds {
		r := &run.Rounds[i]
		if r.Arm == record.NullArm || arm != "" && r.Arm != arm {
			continue
		}
		for _, v := range []*int64{r.Usage.CPU, r.Usage.CPUUser, r.Usage.CPUKernel} {
			*v = int64(float64(*v) * cpu)
		}
		for stream, of := range map[string]*record.Latency{record.StreamDue: &r.Due, record.StreamSent: &r.Sent} {
			h := run.Histograms[record.Key{Load: r.Load, Arm: r.Arm, Stream: stream, StartedMs: r.StartedMs}]
			if h == nil {
				continue
			}
			slow := hdrhistogram.New(1, h.HighestTrackableValue()*10, 2)
			for _, bar := range h.Distribution() {
				if bar.Count > 0 {
					if err := slow.RecordValues(int64(float64(bar.To)*latency), bar.Count); err != nil {
						t.Fatal(err)
					}
				}
			}
			run.Histograms[record.Key{Load: r.Load, Arm: r.Arm, Stream: stream, StartedMs: r.StartedMs}] = slow
			*of = record.Summarize(slow)
		}
	}
	return run
}

func (p *Pair) of(t *testing.T, load, arm, key string) Changed {
	t.Helper()
	for _, l := range p.Loads {
		for _, a := range l.Arms {
			if l.Name == load && a.Name == arm {
				return a.Figures[key]
			}
		}
	}
	t.Fatalf("no %s under %s", arm, load)
	return Changed{}
}

// TestPairChange: an arm that takes 10 % more CPU and has a slower tail is found
// by both comparisons, the others are ties, and B/A is to be trusted.
func TestPairChange(t *testing.T) {
	a, b := sample(t), scaled(t, 2, "epoll", 1.10, 1.3)
	b.Manifest.Name = "later"
	p := ComparePair(a, b, "dir/a", "dir/b")
	if len(p.Differences) != 0 || len(p.Single) != 0 || p.Reference != "goroutine" || len(p.Loads) != 2 {
		t.Fatalf("%+v", p)
	}
	for _, load := range []string{"fixed1000", "window128"} {
		f := p.of(t, load, "epoll", keyCPU)
		for what, v := range map[string]*Versus{"B/A": f.Change, "relative": f.Relative} {
			if v == nil || v.Verdict != "dearer" || v.Low > 1.10 || v.High < 1.10 || v.High/v.Low > 1.06 || v.N != 16 {
				t.Errorf("%s, %s: %+v", load, what, v)
			}
		}
		if f.Trust != TrustBoth || f.A.N != 8 || f.B.Median/f.A.Median < 1.08 {
			t.Errorf("%s: %+v", load, f)
		}
		if ref := p.of(t, load, "goroutine", keyCPU); ref.Change.Verdict != "tie" || ref.Relative != nil {
			t.Errorf("%s, the reference: %+v", load, ref)
		}
		if again := p.of(t, load, "goroutine.aa", keyCPU); again.Change.Verdict != "tie" || again.Relative.Verdict != holds {
			t.Errorf("%s, A/A: %+v, %+v", load, again.Change, again.Relative)
		}
	}
	for _, all := range [][]Shift{p.Loads[0].Shifts, p.Loads[0].Relative} {
		s := shiftOf(t, all, "epoll")
		if says := s.words(nil); !strings.HasPrefix(says, "slower from p1") || s.Rounds[0] != 8 || s.Rounds[1] != 8 {
			t.Errorf("%v: %s", s.Rounds, says)
		}
		for _, point := range s.Points {
			if point.Share > 0.3 && point.Share < 0.9 && (point.Low > 1.31 || point.High < 1.29) {
				t.Errorf("%s: %+v", percentileName(point.Share), point)
			}
		}
	}
}

// TestPairMachine: on a machine that is a fifth slower nothing is to be said of
// B/A, and the ratios to the reference are what they were.
func TestPairMachine(t *testing.T) {
	a, b := sample(t), scaled(t, 2, "", 1.2, 1.2)
	b.Env.CPU, b.Env.Kernel, b.Env.Hypervisor = "Another CPU", "6.1 #2", true
	p := ComparePair(a, b, "a", "b")
	var what []string
	for _, d := range p.Differences {
		if what = append(what, d.What); d.Concern != OfMachine || d.Means == "" {
			t.Errorf("%+v", d)
		}
	}
	if strings.Join(what, ", ") != "CPU, hypervisor, kernel" {
		t.Errorf("differs in %v", what)
	}
	f := p.of(t, "fixed1000", "epoll", keyCPU)
	if f.Trust != TrustRelative || f.Relative.Verdict != "tie" || f.Change.Ratio < 1.15 {
		t.Errorf("%+v, %+v", f.Change, f.Relative)
	}
	if ref := p.of(t, "fixed1000", "goroutine", keyCPU); ref.verdict() != nil || ref.Trust != TrustNone {
		t.Errorf("the reference on another machine: %+v", ref)
	}
	for _, s := range p.Loads[0].Relative {
		if says := s.words(nil); says != noShift {
			t.Errorf("%s: %s", s.Arm, says)
		}
	}
	// What the kernel derives from memory to the page is no other machine.
	b.Env = a.Env
	b.Env.Sysctls = map[string]string{"fs.file-max": "2466170", "net.core.somaxconn": "128"}
	b.Env.CommandLine = strings.Repeat("quiet ", 20)
	p = ComparePair(a, b, "a", "b")
	if ds := p.Differences; len(ds) != 2 || ds[0].What != "kernel's command line" || ds[1].What != "sysctl net.core.somaxconn" {
		t.Errorf("settings: %+v", ds)
	}
	if lines := p.sentences(); len(lines) != 1 || !strings.HasPrefix(lines[0], "kernel's command line (not the same); sysctl net.core.somaxconn not known in A, 128 in B: ") {
		t.Errorf("%q", lines)
	}
	// The same machine in another state says nothing of itself: the reference does.
	b.Env = a.Env
	if p = ComparePair(a, b, "a", "b"); p.of(t, "fixed1000", "epoll", keyCPU).Trust != TrustRelative || len(p.Differences) != 0 {
		t.Errorf("a machine in another state: %+v", p.of(t, "fixed1000", "epoll", keyCPU))
	}
	for i := range p.Loads {
		for _, key := range primary(p.Loads[i].Load) {
			if changed := p.Loads[i].changed(key); len(changed) != 1 || changed[0].Name != "goroutine" {
				t.Errorf("%s, %s: changed %+v", p.Loads[i].Name, key, changed)
			}
		}
	}
}

// TestPairFull: what a full server costs is 1/rate, so that there is no verdict
// on it, whichever of the runs it was full in.
func TestPairFull(t *testing.T) {
	for name, p := range map[string]*Pair{
		"in B": ComparePair(sample(t), scaled(t, 2, "epoll", 1.7, 1), "a", "b"),
		"in A": ComparePair(scaled(t, 2, "epoll", 1.7, 1), sample(t), "a", "b"),
	} {
		f := p.of(t, "fixed1000", "epoll", keyCPU)
		if f.Change.Verdict != string(stats.ServerFull) || f.Relative.Verdict != f.Change.Verdict || f.Change.Low != 0 || len(p.Loads[0].changed(keyCPU)) != 0 {
			t.Errorf("%s: %+v, %+v", name, f.Change, f.Relative)
		}
		if f := p.of(t, "window128", "epoll", keyCPU); f.verdict() == nil || !f.verdict().differs() {
			t.Errorf("%s, saturated: %+v", name, f.verdict())
		}
	}
}

// TestPairApart: loads and arms that only one run has are listed, one that is
// not the same work is not compared, and older runs are.
func TestPairApart(t *testing.T) {
	a, b := sample(t), sampleOf(t, 2)
	a.Manifest.Schema = 2
	b.Manifest.Loads[1].Window, b.Manifest.Loads[0].Slices = 64, 4
	b.Manifest.Loads = append(b.Manifest.Loads, record.Load{Name: "window1", Scenario: record.Broadcast, Window: 1})
	a.Manifest.Loads = append(a.Manifest.Loads, record.Load{Name: "idle10", Scenario: record.Idle})
	a.Manifest.Arms = append(a.Manifest.Arms, record.Arm{Name: "gnet", Backend: "gnet"})
	b.Manifest.Commit, b.Env.Go, b.Manifest.Rules.StealMax = "fedcba987654321", "go1.27", 0.5
	b.Manifest.Arms[0].Clients = 50 // epoll
	p := ComparePair(a, b, "a", "b")
	if arms := p.Loads[0].Arms; len(arms) != 2 || arms[0].Name != "goroutine" {
		t.Errorf("compared with half as many clients: %+v", arms)
	}
	if len(p.Loads) != 1 || p.Loads[0].Name != "fixed1000" {
		t.Fatalf("compared: %+v", p.Loads)
	}
	var out strings.Builder
	p.Text(&out, Style{Width: 80})
	for _, want := range []string{
		"load window1 is in B only.", "load idle10 is in A only.", "fixed1000, in A only: gnet",
		"64 messages under way each", "so this load is not compared", "schema 2 in A, 3 in B", "rule steal_max 0.05 in A, 0.5 in B",
		"as a whole in A, 4 times in turns in B", "Go go1.26 in A, go1.27 in B", "commit 0123456789ab in A, fedcba987654 in B",
		"arm epoll epoll in A, epoll, 50 clients in B",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestPairReference: without a common reference nothing is trusted, and rounds
// that are too few have no interval.
func TestPairReference(t *testing.T) {
	a, b := sample(t), sampleOf(t, 2)
	drop := func(run *record.Run, keep func(*record.Round) bool) {
		var rounds []record.Round
		for i := range run.Rounds {
			if keep(&run.Rounds[i]) {
				rounds = append(rounds, run.Rounds[i])
			}
		}
		run.Rounds = rounds
	}
	drop(b, func(r *record.Round) bool { return r.Round <= 5 })
	f := ComparePair(a, b, "a", "b").of(t, "fixed1000", "epoll", keyCPU)
	if f.Change.Low != 0 || f.Change.Verdict != "not resolved" || f.Relative.Low != 0 || f.B.N != 5 {
		t.Errorf("of five rounds: %+v, %+v", f.Change, f.Relative)
	}
	b = sampleOf(t, 2)
	for name, run := range map[string]*record.Run{"other": a, "another": b} {
		for i := range run.Rounds {
			if r := &run.Rounds[i]; r.Arm == "goroutine" {
				r.Arm = name
			}
		}
		run.Manifest.Reference, run.Manifest.Arms = name, []record.Arm{run.Manifest.Arms[0], {Name: name, Backend: name}}
	}
	p := ComparePair(a, b, "a", "b")
	if f := p.of(t, "fixed1000", "epoll", keyCPU); p.Reference != "" || f.Trust != TrustNone || f.Relative != nil || f.Change == nil {
		t.Errorf("without a reference: %+v", f)
	}
	if !strings.HasPrefix(p.headline(), "Nothing that both runs measured") {
		t.Error(p.headline())
	}
}

// TestPairForms: text keeps to 80 columns, CSV has a line for each figure, JSON
// can be read, and the page needs nothing but itself.
func TestPairForms(t *testing.T) {
	a, b := sample(t), scaled(t, 2, "epoll", 1.10, 1.3)
	a.Manifest.Name, b.Manifest.Name = "<script>alert(1)</script>", "later"
	b.Env.CPU, b.Manifest.Commit = `Another "CPU"`, "fedcba9876543210"
	p := ComparePair(a, b, "results/a", "results/b")
	var text, coloured bytes.Buffer
	p.Text(&text, Style{Width: 80})
	golden(t, "compare_pair.txt", text.Bytes())
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(line)); n > 81 {
			t.Errorf("%d columns: %s", n-1, line)
		}
	}
	p.Text(&coloured, Style{Width: 80, Color: true})
	if stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), ""); stripped != text.String() || coloured.Len() == text.Len() {
		t.Error("colour changes the text, or is not there")
	}
	rows, err := csv.NewReader(bytes.NewReader(p.CSV())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	figures := 0
	for _, l := range p.Loads {
		for _, a := range l.Arms {
			figures += len(a.Figures)
		}
	}
	if len(rows) != 1+figures || figures < 100 {
		t.Errorf("%d lines of %d figures", len(rows), figures)
	}
	var back Pair
	if data, err := record.JSON(p); err != nil || json.Unmarshal(data, &back) != nil || len(back.Loads) != 2 {
		t.Errorf("JSON: %v", err)
	}
	page, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script>alert", "http:", "https:", "@import", "NaN", "Inf", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if n := bytes.Count(page, []byte("<svg")); n != 2*(3+2) {
		t.Errorf("%d panels", n)
	}
}
