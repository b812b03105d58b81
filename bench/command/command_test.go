package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chatbench/bench/live"
	"chatbench/bench/record"
	"chatbench/bench/report"
)

// outcome is the result of a command line.
type outcome struct {
	status         int
	stdout, stderr string
}

func try(ctx context.Context, bin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	status := Run(ctx, args, Env{Stdout: &stdout, Stderr: &stderr, Bin: bin})
	return outcome{status, stdout.String(), stderr.String()}
}

// tinyRun is a run of a second or two under two loads.
func tinyRun(backends, dir string, more ...string) []string {
	return append([]string{"run", "-backends", backends, "-o", dir, "-rounds", "2", "-duration", "100ms", "-slice", "50ms", "-lead-in", "10ms",
		"-clients", "4", "-senders", "2", "-rate", "400/s", "-window", "4", "-foreign-max", "1"}, more...)
}

// TestVersion: the program and each of its verbs say what they were built from.
func TestVersion(t *testing.T) {
	lines := [][]string{{"-version"}, {"--version"}}
	for verb := range verbs {
		lines = append(lines, []string{verb, "-version"})
	}
	for _, args := range lines {
		got := try(context.Background(), "", args...)
		if got.status != exitOK || !strings.HasPrefix(got.stdout, "bench of chatbench\ncommit ") || got.stderr != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// TestRun is a complete run: measured, written, verified, compared, listed.
func TestRun(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	got := try(ctx, programs, tinyRun("good", "results/first", "-json")...)
	// A busy machine can void rounds: that is not an error of what is tested here.
	if got.status != exitOK && got.status != exitViolated && got.status != exitDisturbed {
		t.Fatalf("%+v", got)
	}
	var s report.Summary
	if err := json.Unmarshal([]byte(got.stdout), &s); err != nil {
		t.Fatal(err)
	}
	run, _, err := record.Read("results/first")
	if err != nil {
		t.Fatal(err)
	}
	if s.Reference != "good" || len(s.Loads) != 2 || len(s.Loads[0].Arms) != 2 || len(run.Rounds) != 1+2*2*2 {
		t.Errorf("%d rounds; %+v", len(run.Rounds), s)
	}
	for i, r := range run.Rounds {
		if cell := (record.Cell{Round: r.Round, Load: r.Load, Arm: r.Arm}); run.Manifest.Order[i] != cell || r.Seq != i+1 {
			t.Errorf("round %d is %+v, planned %+v", i, cell, run.Manifest.Order[i])
		}
		if r.Error != "" || r.Traffic.Lost != 0 || r.Traffic.Checked == 0 || r.Counts() && (r.Usage.CPU == nil || *r.Usage.CPU <= 0) || r.Usage.RSS == nil {
			t.Errorf("%+v", r)
		}
		if r.Arm != record.NullArm && (r.Server == nil || r.Server.Writes != r.Traffic.Checked) {
			t.Errorf("the server counted %+v, the generator %d deliveries", r.Server, r.Traffic.Checked)
		}
		if r.Load == "fixed400" && r.Counts() && r.Traffic.Due != 40 && r.Traffic.Due != 20 {
			t.Errorf("%d messages due in 100 ms at 400/s", r.Traffic.Due)
		}
		if load, _ := run.Load(r.Load); len(r.Slices) != load.Slices || load.Slices != 2 {
			t.Errorf("%d slices, planned %d", len(r.Slices), load.Slices)
		}
		if n := 0; r.Counts() {
			for _, s := range r.Slices {
				if s.Counts() {
					if s.Busy <= 0 || s.Busy > 1 {
						t.Errorf("a generator that was busy for %v of a slice", s.Busy)
					}
					n += int(s.Deliveries)
				}
			}
			if int64(n) != r.Traffic.Between {
				t.Errorf("%d deliveries in slices, %d in the round", n, r.Traffic.Between)
			}
		}
		if r.Counts() && (r.Queue.Count == 0 || r.Queue.Max > r.Sent.Max+1e6 && r.Queue.Max > r.Due.Max+1e6) {
			t.Errorf("in the receive queue: %+v; from the send %+v", r.Queue, r.Sent)
		}
		if how := run.Manifest.Measures["others"]; r.Usage.Foreign == nil || (r.Usage.Uncharged != nil) != strings.HasPrefix(how, "perf ") {
			t.Errorf("foreign %v, uncharged %v, by %q", r.Usage.Foreign, r.Usage.Uncharged, how)
		}
		if open := r.Load == "fixed400"; r.Counts() && (r.Sent.Count == 0 || (r.Due.Count > 0) != open || (r.Lag.Count > 0) != open) {
			t.Errorf("under %s %d latencies from due, %d lags", r.Load, r.Due.Count, r.Lag.Count)
		}
	}
	if said := run.Manifest.Servers["good.aa"]; said["backlog"] != 7.0 || said["pid"] != nil {
		t.Errorf("servers said %v", run.Manifest.Servers)
	}
	beforeTheRounds(t, run)
	if run.Manifest.Finished.Before(run.Manifest.Started) || run.Env.Go == "" || len(run.Manifest.Argv) < 4 {
		t.Errorf("%+v", run.Manifest)
	}
	afterwards(t, ctx, programs)
}

// beforeTheRounds looks at what was measured first.
func beforeTheRounds(t *testing.T, run *record.Run) {
	// The helper says the same whether it is counted or not.
	how, env := run.Manifest.Measures["price of counting"], run.Env
	if known := strings.HasPrefix(how, "median of "); known && (env.SwitchPrice == nil || *env.SwitchPrice != 0) || !known && (env.SwitchPrice != nil || !strings.HasPrefix(how, "absent: ")) {
		t.Errorf("price of counting: %q; %v a switch", how, env.SwitchPrice)
	}
	if run.Manifest.Pilot != nil {
		t.Errorf("the rate was given, but a pilot chose: %+v", run.Manifest.Pilot)
	}
}

// afterwards looks at the run with the other verbs.
func afterwards(t *testing.T, ctx context.Context, programs string) {
	entries, err := os.ReadDir("results")
	if err != nil || len(entries) != 1 {
		t.Errorf("in results: %v, %v", entries, err)
	}
	for _, name := range []string{"bench.txt", "checks.json", "report.html", "summary.csv", "fixed400.hlog", "window4.hlog"} {
		if info, err := os.Stat(filepath.Join("results/first", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"files agree", []string{"verify", "results/first"}},
		{"Every message arrived", []string{"report", "results/first"}},
		{`"reference": "good"`, []string{"report", "results/first", "-json"}},
		{`"reference": "good"`, []string{"report", "-format", "json", "results/first"}},
		{"## bench: first", []string{"report", "-format", "markdown", "results/first"}},
		{"## bench: first", []string{"report", "results/first", "-format", "markdown"}},
		{"first  good", []string{"compare"}},
		{`"dir": "results/first"`, []string{"compare", "-json", "results/first"}},
		{"good, other, lossy, dying, stuck", []string{"list"}},
		{"results/first", []string{"list"}},
	} {
		got := try(ctx, programs, c.args...)
		if !strings.Contains(got.stdout, c.want) || got.stderr != "" || got.status == exitUsage {
			t.Errorf("%v: %+v, want %q", c.args, got, c.want)
		}
	}
	if got := try(ctx, programs, "report", "-format", "svg", "results/first"); got.status != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "no ranking to draw") {
		t.Errorf("a picture of one backend: %+v", got)
	}
	path := "results/first/" + record.RoundsFile
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	void := bytes.ReplaceAll(data, []byte(`"wall_ns":`), []byte(`"void":["steal"],"wall_ns":`))
	if err := os.WriteFile(path, void, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := try(ctx, programs, "report", "results/first"); got.status != exitDisturbed {
		t.Errorf("with void rounds only: %+v", got)
	}
	changed := regexp.MustCompile(`"cpu_ns":\d`).ReplaceAll(data, []byte(`"cpu_ns":77`))
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := try(ctx, programs, "verify", "results/first"); got.status != exitViolated || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a changed figure: %+v", got)
	}
}

// TestBadServers: a server that loses a message and one that ends lead to void
// rounds with these reasons, and to exit status 3.
func TestBadServers(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	got := try(context.Background(), programs, tinyRun("good,lossy,dying", "bad", "-rounds", "1", "-window", "none")...)
	if got.status != exitViolated {
		t.Errorf("status %d: %s", got.status, got.stderr)
	}
	for _, want := range []string{
		"round 1 of lossy under fixed400 is void: lost",
		"round 1 of dying under fixed400 is void: server-died",
		"exit status 7: chatd: out of luck",
	} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr does not say %q:\n%s", want, got.stderr)
		}
	}
	for _, want := range []string{"NOT CORRECT", "1 lost, 0 twice", "1 server-died"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("stdout does not say %q:\n%s", want, got.stdout)
		}
	}
	if v := try(context.Background(), programs, "verify", "bad"); v.status != exitOK {
		t.Errorf("what was measured is as recorded all the same: %+v", v)
	}
}

// TestInterrupt: one line, status 1, nothing half-written, no server left.
func TestInterrupt(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	stderr := &watched{word: "deliveries/s", found: func([]byte) { cancel() }}
	var stdout bytes.Buffer
	status := Run(ctx, tinyRun("good", "results/cut", "-duration", "60s"), Env{Stdout: &stdout, Stderr: stderr, Bin: programs, Live: live.Terminal{Moves: true}})
	_, last, _ := cutLast(stderr.String(), "\x1b[J")
	if status != exitFailed || stdout.Len() > 0 || last != "bench: interrupted; nothing was written\n" {
		t.Errorf("status %d, stdout %q, stderr ends in %q", status, stdout.String(), last)
	}
	if !strings.Contains(stderr.String(), "round 1 of 2  ") {
		t.Errorf("progress was %q", stderr.String())
	}
	if entries, _ := os.ReadDir("results"); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	self, _ := os.Executable()
	if out, _ := exec.Command("pgrep", "-f", self+" (-backend|null)").Output(); len(out) > 0 {
		t.Errorf("still there: %s", out)
	}
}

// watched is a terminal on which a test waits for a word.
type watched struct {
	bytes.Buffer
	word  string
	found func(line []byte)
}

func (w *watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.word)) {
		w.found(p)
	}
	return w.Buffer.Write(p)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// mistake is a command line that fails, with what it prints on stderr.
type mistake struct {
	status int
	want   string
	args   []string
}

// checkMistakes: each command line fails with one line on stderr and prints nothing else.
func checkMistakes(t *testing.T, programs string, all []mistake) {
	t.Helper()
	for _, c := range all {
		got := try(context.Background(), programs, c.args...)
		if got.status != c.status || !strings.Contains(got.stderr, c.want) || got.stdout != "" || len(c.args) > 0 && strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v:\nstatus %d, want %d\n%s%swant %q", c.args, got.status, c.status, got.stdout, got.stderr, c.want)
		}
	}
}

// TestMistakes: one line that says what to do, before anything is measured.
func TestMistakes(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("there", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	checkMistakes(t, programs, []mistake{
		{exitUsage, "usage: bench VERB", nil},
		{exitUsage, `unknown verb "walk"`, []string{"walk"}},
		{exitUsage, "give -backends epoll", []string{"run"}},
		{exitUsage, `unknown backend "nope"; there are good, other, lossy, dying, stuck`, tinyRun("nope", "x")},
		{exitUsage, "is listed twice", tinyRun("good,good", "x")},
		{exitUsage, "is not an arm; write NAME=", tinyRun("good", "x", "-arm", "good")},
		{exitUsage, "is listed twice", tinyRun("good", "x", "-arm", "good=lossy")},
		{exitUsage, `unknown backend "nope"; there are good, other, lossy, dying, stuck, and all for every one (in ` + programs + "/chatd)", tinyRun("good", "x", "-arm", "a="+programs+"/chatd:nope")},
		{exitFailed, "no chatd at " + programs + "/nowhere; build it", tinyRun("good", "x", "-arm", "a="+programs+"/nowhere:good")},
		{exitFailed, "there cannot be run", tinyRun("good", "x", "-arm", "a=there:good")},
		{exitUsage, "a duration of 0s", tinyRun("good", "x", "-duration", "0s")},
		{exitUsage, "a budget of 5m0s", tinyRun("good", "x", "-budget", "5m")},
		{exitUsage, "slices of 300ms in 100ms", tinyRun("good", "x", "-slice", "300ms")},
		{exitUsage, "a lead-in of -1s", tinyRun("good", "x", "-lead-in", "-1s")},
		{exitUsage, "slices have a -lead-in", tinyRun("good", "x", "-warmup", "1s")},
		{exitUsage, "there are no slices with -whole", tinyRun("good", "x", "-whole")},
		{exitUsage, `invalid value "long"`, tinyRun("good", "x", "-duration", "long")},
		{exitUsage, "a rate is written like", tinyRun("good", "x", "-rate", "1000")},
		{exitUsage, `"many" is not a number of messages`, tinyRun("good", "x", "-window", "many")},
		{exitUsage, "no load", tinyRun("good", "x", "-window", "none", "-rate", "none")},
		{exitUsage, "give fixed or poisson", tinyRun("good", "x", "-arrivals", "odd")},
		{exitUsage, "there are broadcast", tinyRun("good", "x", "-scenario", "storm")},
		{exitUsage, "give one of them", tinyRun("good", "x", "-quick", "-full")},
		{exitUsage, "a share above 0", tinyRun("good", "x", "-foreign-max", "NaN")},
		{exitUsage, "is not a list of CPUs", tinyRun("good", "x", "-server-cpus", "two")},
		{exitUsage, "CPU 999 is not among those allowed", tinyRun("good", "x", "-server-cpus", "999")},
		{exitUsage, "texts of 3B; give", tinyRun("good", "x", "-size", "3B", "-window", "none")},
		{exitUsage, "no argument", tinyRun("good", "x", "surplus")},
		{exitFailed, "there exists already; give another -o", tinyRun("good", "there")},
		{exitFailed, "cannot write results to file", tinyRun("good", "file/x")},
		{exitFailed, "build it with make", tinyRun("good", "x", "-chatd", "nowhere")},
		{exitFailed, "build it with make", tinyRun("good", "x", "-loadgen", "nowhere")},
		{exitFailed, "exit status 1: chatd: port in use", tinyRun("stuck", "x", "-window", "none")},
		{exitUsage, "no run in results/", []string{"compare"}},
		{exitUsage, "not a run's directory", []string{"compare", "there"}},
		{exitUsage, "give the directory of one run", []string{"report", "there", "there"}},
		{exitUsage, "there is no directory nowhere", []string{"verify", "nowhere"}},
		{exitUsage, "not a run's directory", []string{"verify", "there"}},
		{exitUsage, `-format is "pdf"; give text, markdown, json or svg`, []string{"report", "there", "-format", "pdf"}},
		{exitUsage, "-json and -format=markdown contradict each other", []string{"report", "-format", "markdown", "there", "-json"}},
	})
	if entries, _ := filepath.Glob("*x*"); len(entries) > 0 {
		t.Errorf("left: %v", entries)
	}
	for _, args := range [][]string{{"-h"}, {"run", "-h"}, {"verify", "-h"}} {
		if got := try(context.Background(), programs, args...); got.status != exitOK || got.stdout == "" || got.stderr != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

// TestBudget: without a number of rounds there are as many as the budget allows, but one at least.
func TestBudget(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	got := try(context.Background(), programs, "run", "-backends", "good", "-o", "b", "-budget", "1ms", "-duration", "50ms", "-slice", "50ms", "-lead-in", "5ms",
		"-clients", "3", "-senders", "1", "-rate", "400/s", "-window", "none", "-foreign-max", "1")
	run, _, err := record.Read("b")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if m := run.Manifest; len(m.Looks) == 0 || m.Budget != time.Millisecond || m.Ended != record.OutOfBudget || len(m.Order) != 2 || len(run.Rounds) != 2 {
		t.Errorf("ended for %q after %d rounds, budget %v, looks %v", m.Ended, len(run.Rounds), m.Budget, m.Looks)
	}
	if v := try(context.Background(), programs, "verify", "b"); v.status != exitOK {
		t.Errorf("%+v", v)
	}
}

// TestArms: builds against builds, each with its SHA-256 in the manifest.
func TestArms(t *testing.T) {
	programs, old := bin(t), bin(t)
	t.Chdir(t.TempDir())
	got := try(context.Background(), programs, tinyRun("", "r", "-arm", "old="+old+"/chatd:good", "-arm", "new=good", "-rounds", "1", "-window", "none")...)
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	m := run.Manifest
	if len(m.Arms) != 3 || m.Reference != "old" || m.Arms[0].Chatd != old+"/chatd" || m.Arms[1].Chatd != "" || m.Arms[2].Name != "old.aa" {
		t.Errorf("%+v", m.Arms)
	}
	if len(m.Binaries) != 2 || m.Binaries[0].Path != programs+"/chatd" || m.Binaries[1].Path != old+"/chatd" || len(m.Binaries[1].SHA256) != 64 {
		t.Errorf("%+v", m.Binaries)
	}
	if want := "old, old.aa: " + old + "/chatd, commit unknown, SHA-256 " + m.Binaries[1].SHA256[:12]; !strings.Contains(got.stdout, want) {
		t.Errorf("%s does not say %s", got.stdout, want)
	}
	if v := try(context.Background(), programs, "verify", "r"); v.status != exitOK {
		t.Errorf("%+v", v)
	}
}
