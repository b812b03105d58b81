package report

import (
	"bytes"
	"strings"
	"testing"

	"chatbench/bench/record"
)

// withAgents is the sample as if two agents had driven it.
func withAgents(t *testing.T) *record.Run {
	run := sample(t)
	run.Manifest.GeneratorCPUs, run.Manifest.GeneratorThreads = nil, 3
	run.Manifest.Agents = []record.Agent{
		{Name: "alpha", Address: "10.0.0.2:4711", Host: "left", Kernel: "6.1", CPUs: []int{2, 3}, Threads: 2},
		{Name: "beta", Address: "10.0.0.3:4711", Host: "right", Kernel: "6.2", Threads: 1},
	}
	return run
}

// TestReportOfAgents: every form says which agents drove the load, none that the generator was on CPUs
// of this machine, and none that all had CPUs of their own.
func TestReportOfAgents(t *testing.T) {
	run := withAgents(t)
	s := Summarize(run, nil)
	const who = "agent alpha (host left, Linux 6.1, CPU 2-3, 2 threads), agent beta (host right, Linux 6.2, 1 threads)"
	page, err := s.html(run)
	if err != nil {
		t.Fatal(err)
	}
	var markdown bytes.Buffer
	s.Markdown(&markdown, run)
	plain := strings.ReplaceAll(markdown.String(), `\`, "")
	for form, said := range map[string]string{"text": text(s, Style{}), "Markdown": plain, "page": string(page)} {
		for _, want := range []string{"the load came from " + who, "within one agent"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: no %q", form, want)
			}
		}
		if form != "text" && !strings.Contains(said, "server on CPU 0, generator on "+who) || strings.Contains(said, "generator on CPU") {
			t.Errorf("%s is wrong about where the generator was", form)
		}
	}
	for _, c := range s.Checks.Checks {
		if c.Name == "CPUs of their own" && (c.OK || c.Detail != "not known: server on [0], generator on "+who) {
			t.Errorf("%+v", c)
		}
	}
	run.Manifest.Agents[1].Since = 3
	if said := text(Summarize(run, nil), Style{}); !strings.Contains(said, "Linux 6.2, from round 3 in the place of another, 1 threads") {
		t.Errorf("it is not said that an agent came later:\n%s", said)
	}
	run.Manifest.Agents = run.Manifest.Agents[:1]
	if said := text(Summarize(run, nil), Style{}); strings.Contains(said, "within one agent") {
		t.Error("nothing crosses between agents where there is one")
	}
}

// TestPairAgents: a run with agents differs from one without, and from one with other agents.
func TestPairAgents(t *testing.T) {
	other := withAgents(t)
	other.Manifest.Agents[1].Host = "elsewhere"
	same := withAgents(t)
	same.Manifest.Agents[1].Address = "10.0.0.3:5000"
	for name, c := range map[string]struct {
		with    *record.Run
		differs string
	}{
		"this machine": {sample(t), "generator's CPUs, agents, generator's threads"}, "others": {other, "agents"}, "the same": {same, ""},
	} {
		var what []string
		for _, d := range ComparePair(withAgents(t), c.with, "a", "b").Differences {
			what = append(what, d.What)
		}
		if got := strings.Join(what, ", "); got != c.differs {
			t.Errorf("%s: differs in %q, want %q", name, got, c.differs)
		}
	}
}

// TestPairThreads: another number of generator threads is a difference; an older run
// with one CPU had one thread, and one with several does not say.
func TestPairThreads(t *testing.T) {
	for _, c := range []struct {
		threads int
		cpus    []int
		differs string // from a run with two threads on CPUs 1 and 2
	}{{2, []int{1, 2}, ""}, {1, []int{1, 2}, "1"}, {0, []int{1, 2}, "-"}} {
		a, b := sample(t), sample(t)
		a.Manifest.GeneratorThreads, a.Manifest.GeneratorCPUs = c.threads, c.cpus
		b.Manifest.GeneratorThreads, b.Manifest.GeneratorCPUs = 2, []int{1, 2}
		ds := ComparePair(a, b, "a", "b").Differences
		switch {
		case c.differs == "" && len(ds) == 0:
		case c.differs == "" || len(ds) != 1 || ds[0].What != "generator's threads" || ds[0].B != "2" || ds[0].A != c.differs && c.differs != "-" || ds[0].A != "" && c.differs == "-":
			t.Errorf("%+v: %+v", c, ds)
		}
	}
	m := &sample(t).Manifest
	if m.GeneratorThreads = 0; m.Threads() != 1 {
		t.Errorf("an older run on one CPU had %d threads", m.Threads())
	}
}
