package report

import (
	"strings"
	"testing"

	"chatbench/bench/record"
	"chatbench/bench/stats"
)

// setUse gives an arm of a sample so large a share of its CPU under the open loop.
func setUse(run *record.Run, arm string, share float64) {
	for i := range run.Rounds {
		if r := &run.Rounds[i]; r.Arm == arm && r.Load == "fixed1000" {
			*r.Usage.CPU = int64(share*1e9) - int64(r.Round)
		}
	}
}

// TestFullServer: a server under an open loop that has no CPU to spare is not
// compared in what its CPU is divided into. Latencies are, and the others.
func TestFullServer(t *testing.T) {
	run := sample(t)
	setUse(run, "epoll", 0.9)
	l := &Summarize(run, nil).Loads[0]
	if a := l.arm("epoll"); a.Full || a.Figures[keyCPU].AtMost || a.Figures[keyCPU].Versus.Verdict != "dearer" {
		t.Errorf("90 %% of the CPU is not over 90 %%: %+v", a.Figures[keyCPU].Versus)
	}
	if n := l.comparisons("goroutine"); n != 2 {
		t.Errorf("%d comparisons, want CPU and p50", n)
	}
	setUse(run, "epoll", 0.91)
	l = &Summarize(run, nil).Loads[0]
	a := l.arm("epoll")
	for _, key := range []string{keyCPU, keySyscalls} {
		f := a.Figures[key]
		if v := f.Versus; v.Verdict != string(stats.ServerFull) || v.Reason != stats.FullServer || v.Low != 0 || v.P != 1 || v.N != 8 || !strings.Contains(v.Why, "91 %") {
			t.Errorf("%s: %+v", key, v)
		}
		if text := f.value(find(key), false); !f.AtMost || !strings.HasPrefix(text, "≤ ") {
			t.Errorf("%s is printed as %s", key, text)
		}
	}
	if !a.Figures[keyUser].AtMost || !a.Figures[keyKernel].AtMost || a.Figures[keyP50].AtMost || a.Figures[keyP50].Versus.Verdict == string(stats.ServerFull) {
		t.Errorf("user %+v, kernel %+v, p50 %+v", a.Figures[keyUser], a.Figures[keyKernel], a.Figures[keyP50].Versus)
	}
	if n := l.comparisons("goroutine"); n != 1 {
		t.Errorf("%d comparisons, want that of p50 alone", n)
	}
	if l.arm("goroutine").Full || l.arm("goroutine.aa").Figures[keyCPU].Versus.Verdict != holds {
		t.Error("the reference is held to be full too")
	}
	if c := Summarize(run, nil).Loads[1].arm("epoll"); c.Full || c.Figures[keyCPU].Versus.Verdict != "cheaper" {
		t.Error("at saturation a full server is what is wanted")
	}
	run.Manifest.Rules.FullShare = 0.95
	if Summarize(run, nil).Loads[0].arm("epoll").Full {
		t.Error("the threshold of the manifest does not count")
	}
	run.Manifest.Rules.FullShare = 0 // an older run
	if !Summarize(run, nil).Loads[0].arm("epoll").Full {
		t.Error("an older run has no threshold")
	}
}

// TestFullServerIsDecided: more rounds would say no more of it.
func TestFullServerIsDecided(t *testing.T) {
	run := sample(t)
	run.Manifest.Rounds, run.Manifest.Looks = 0, stats.Looks
	setUse(run, "epoll", 0.95)
	l := judgeLoad(run, run.Manifest.Loads[0])
	a := l.arm("epoll")
	p50 := a.Figures[keyP50]
	p50.Versus.Verdict = string(stats.Tie)
	a.Figures[keyP50] = p50
	if !l.settled(*a) || !l.awaitedDecided(*a) {
		t.Errorf("open though its server is full: %+v", a.Figures[keyCPU].Versus)
	}
}

// TestFullReference: where the reference has no CPU to spare nobody is compared
// with it in CPU, it is not its own error there, and one line says why. A gate
// takes the figure for no answer.
func TestFullReference(t *testing.T) {
	run := sample(t)
	setUse(run, "goroutine", 0.99)
	setUse(run, "goroutine.aa", 0.99)
	s := Summarize(run, nil)
	l := &s.Loads[0]
	for _, arm := range []string{"epoll", "goroutine.aa"} {
		if v := l.arm(arm).Figures[keyCPU].Versus; v.Verdict != string(stats.ServerFull) || !strings.Contains(v.Why, "the reference used 99 %") {
			t.Errorf("%s: %+v", arm, v)
		}
	}
	if _, ok := l.Finds[keyCPU]; ok {
		t.Error("it is said what differences in CPU can be found")
	}
	var text strings.Builder
	s.Text(&text, Style{}, "")
	if n := strings.Count(text.String(), "No verdict on CPU and system calls here: the reference, goroutine, used 99 % of its CPU"); n != 1 {
		t.Errorf("%d lines say so in\n%s", n, text.String())
	}
	for _, row := range s.gateRows("epoll", 0.05) {
		if full := row.Load == "fixed1000" && row.key == keyCPU; full != (row.Verdict == GateFull) {
			t.Errorf("%+v", row)
		}
	}
	setUse(run, "goroutine", 0.5)
	setUse(run, "epoll", 0.99)
	for _, row := range Summarize(run, nil).gateRows("epoll", 0.05) {
		if row.Load == "fixed1000" && row.key == keyCPU && row.Verdict != GateUndecided {
			t.Errorf("a head that is full: %+v", row)
		}
	}
}

// TestSeveralCPUs: where the server has several CPUs, the use of all of them does
// not say whether one of its threads was full: then there is no bound and no verdict,
// and no further round is asked for.
func TestSeveralCPUs(t *testing.T) {
	for _, c := range []struct {
		share     float64 // of two CPUs
		full      bool
		maybe     bool
		verdict   string
		reason    stats.Reason
		reference bool // it is the reference's
	}{
		{0.44, false, false, "dearer", "", false}, // less than 90 % of one
		{0.46, false, true, "not resolved", stats.PerhapsFull, false},
		{0.89, false, true, "not resolved", stats.PerhapsFull, false},
		{0.91, true, false, "server full", stats.FullServer, false},
		{0.50, false, false, "not resolved", stats.PerhapsFull, true},
	} {
		run := sample(t)
		run.Manifest.ServerCPUs = []int{0, 2}
		setUse(run, "goroutine", 0.7)
		arm := "epoll"
		if c.reference {
			arm = "goroutine"
		}
		setUse(run, arm, 2*c.share)
		s := Summarize(run, nil)
		l := &s.Loads[0]
		a := l.arm("epoll")
		v := a.Figures[keyCPU].Versus
		if a.Full != c.full || a.MaybeFull != c.maybe || a.Figures[keyCPU].AtMost != c.full || v.Verdict != c.verdict || v.Reason != c.reason {
			t.Errorf("%+v: full %v, maybe %v: %+v", c, a.Full, a.MaybeFull, v)
		}
		if refused := c.reason != ""; refused != (v.Low == 0) || refused && v.open() || refused == strings.Contains(l.sentence(), "for sure") {
			t.Errorf("%+v: %+v, %s", c, v, l.sentence())
		}
		if note := l.Ranking.row(arm).Note; note != string(c.reason) {
			t.Errorf("%+v: note %q", c, note)
		}
		if said := text(s, Style{}); strings.Contains(said, "No verdict on CPU") != (c.reason != "") {
			t.Errorf("%+v:\n%s", c, said)
		}
		for _, row := range s.gateRows("epoll", 0.05) {
			if row.Load == "fixed1000" && row.key == keyCPU && c.reason != "" && row.Verdict != GateUndecided {
				t.Errorf("%+v: gate %s", c, row.Verdict)
			}
		}
	}
}

// TestLimitOfSeveralCPUs: nor does it say whether the server was the limit of a
// closed loop: a rate is a bound only if it is one either way, and has a verdict
// only if it is none either way.
func TestLimitOfSeveralCPUs(t *testing.T) {
	for _, c := range []struct {
		name    string
		share   float64 // of two CPUs
		marked  bool
		busy    float64 // the generator
		limit   string
		atLeast bool
		verdict string
	}{
		{"one thread may be full, the generator is idle", 0.5, false, 0.6, "unclear", false, "faster"},
		{"one thread may be full, the generator is busy", 0.5, false, 0.97, "unclear", false, "not resolved"},
		{"marked, with a generator that waits", 0.5, true, 0.6, "unclear", false, "not resolved"},
		{"marked, with a busy generator", 0.5, true, 0.9, "unclear", true, "faster"},
		{"no thread is full", 0.4, false, 0.97, "generator", true, "faster"},
		{"all are", 0.97, false, 0.97, "server", false, "faster"},
	} {
		run := sample(t)
		run.Manifest.ServerCPUs = []int{0, 2}
		for i := range run.Rounds {
			r := &run.Rounds[i]
			if r.Load != "window128" || r.Arm == record.NullArm {
				continue
			}
			*r.Usage.CPU, r.Traffic.GeneratorBusy = int64(2e9*0.97), 0.6
			if r.Arm == "epoll" {
				*r.Usage.CPU, r.Traffic.GeneratorBusy = int64(2e9*c.share), c.busy
				if c.marked {
					r.Marks = []record.Reason{record.GeneratorLimited}
				}
			}
		}
		a := Summarize(run, nil).Loads[1].arm("epoll")
		f := a.Figures[keyRate]
		if a.Limit != c.limit || f.AtLeast != c.atLeast || f.Versus.Verdict != c.verdict {
			t.Errorf("%s: limit %q, at least %v, %+v", c.name, a.Limit, f.AtLeast, f.Versus)
		}
	}
}
