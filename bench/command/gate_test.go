package command

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chatbench/bench"
	"chatbench/bench/live"
	"chatbench/bench/record"
)

// chatdSource is the chatd of a commit: these tests, as a server with an
// environment of its own.
const chatdSource = `package main

import (
	"os"
	"syscall"
)

func main() {
	syscall.Exec(os.Getenv("GATE_SELF"), os.Args, append(os.Environ(), "BENCH_FAKE=chatd", %q))
}
`

// makeHistory makes a repository in the current directory: the commits good, docs,
// slow and broken, one after the other.
func makeHistory(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GATE_SELF", self)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	git := func(args ...string) {
		args = append([]string{"-c", "user.name=gate", "-c", "user.email=gate@localhost", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"}, args...)
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("go.mod", "module fake\n\ngo 1.26\n")
	write(".gitignore", "bin/\nresults/\n")
	for _, commit := range []struct{ name, source, docs string }{
		{"good", fmt.Sprintf(chatdSource, "BENCH_BURN=0"), ""},
		{"docs", fmt.Sprintf(chatdSource, "BENCH_BURN=0"), "more is said of it"},
		{"slow", fmt.Sprintf(chatdSource, "BENCH_BURN=100us"), ""},
		{"broken", "package main\n\nfunc main() { nothing() }\n", ""},
	} {
		write("cmd/chatd/main.go", commit.source)
		write("README", commit.docs)
		git("add", "-A")
		git("commit", "-q", "-m", commit.name)
		git("tag", commit.name)
	}
}

// gateLine is a gate of a few seconds.
func gateLine(base, head, backend, dir string, more ...string) []string {
	return append([]string{"gate", "-baseline", base, "-head", head, "-backends", backend, "-o", dir, "-rounds", "6", "-duration", "60ms", "-slice", "20ms", "-lead-in", "5ms",
		"-clients", "4", "-senders", "2", "-rate", "400/s", "-window", "none", "-foreign-max", "1"}, more...)
}

// nothingLeft checks that no worktree and no directory is left.
func nothingLeft(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("git", "worktree", "list").Output(); err != nil || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("worktrees: %s, %v", out, err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "bench-gate-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestGate: each commit gets its status, or, on a busy machine,
// the status for that.
func TestGate(t *testing.T) {
	programs, ctx := bin(t), context.Background()
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	makeHistory(t)
	for _, c := range []struct {
		dir  string
		args []string
		want int
		say  []string
	}{
		{"docs", gateLine("good", "docs", "good", "docs"), exitOK, []string{"| good | fixed400 | CPU per delivery |", "| good | fixed400 | p50 |"}},
		{"slow", gateLine("docs", "slow", "good", "slow"), exitFailed, []string{"| good | fixed400 | CPU per delivery |"}},
		{"dying", gateLine("docs", "docs", "dying", "dying", "-rounds", "1"), exitViolated, []string{"## bench gate: violated", "dying: 3 of 3 rounds void: 3 server-died"}},
	} {
		got := try(ctx, programs, c.args...)
		busy := c.want != exitViolated && (got.status == exitDisturbed || got.status == exitViolated && behind(t, c.dir+"*", "good"))
		if got.status != c.want && !busy || got.stderr != "" {
			t.Errorf("%v: status %d, want %d\n%s%s", c.args, got.status, c.want, got.stdout, got.stderr)
		}
		for _, say := range append(c.say, "## bench gate: ", "|---|") {
			if !strings.Contains(got.stdout, say) {
				t.Errorf("%v does not say %q:\n%s", c.args, say, got.stdout)
			}
		}
		if strings.Contains(got.stdout, "## bench gate: worse") != (got.status == exitFailed) {
			t.Errorf("status %d:\n%s", got.status, got.stdout)
		}
	}
	run, _, err := record.Read("docs")
	if err != nil {
		t.Fatal(err)
	}
	m := run.Manifest
	if len(m.Binaries) != 2 || m.Binaries[0].Commit == "" || m.Binaries[0].Commit == m.Binaries[1].Commit || m.Binaries[1].Dirty || m.Reference != "baseline" {
		t.Errorf("%+v", m.Binaries)
	}
	nothingLeft(t)
}

// TestGateMistakes: one line, before anything is measured, and nothing is left.
func TestGateMistakes(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	if got := try(context.Background(), programs, gateLine("good", "docs", "good", "x")...); got.status != exitUsage || !strings.Contains(got.stderr, "no git repository here") {
		t.Errorf("%+v", got)
	}
	makeHistory(t)
	for _, dir := range []string{"there", "one-again", "two-lossy"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	checkMistakes(t, programs, []mistake{
		{exitUsage, "give the commit to compare with", []string{"gate"}},
		{exitUsage, `there is no commit "nope" here`, gateLine("nope", "docs", "good", "x")},
		{exitUsage, `"-x" is not a revision`, gateLine("good", "-x", "good", "x")},
		{exitUsage, "flag provided but not defined: -arm: see bench gate -h", gateLine("good", "docs", "good", "x", "-arm", "a=b")},
		{exitUsage, "bench gate: -arrivals is \"odd\"; give fixed or poisson", gateLine("good", "docs", "good", "x", "-arrivals", "odd")},
		{exitUsage, "idle is not for a gate", []string{"gate", "-baseline", "good", "-scenario", "idle"}},
		{exitUsage, "backend good is listed twice", gateLine("good", "docs", "good,lossy,good", "x")},
		{exitFailed, "there exists already; give another -o", gateLine("good", "docs", "good", "there")},
		{exitFailed, "one-again exists already; give another -o", gateLine("good", "docs", "good", "one")},
		{exitFailed, "two-lossy exists already; give another -o", gateLine("good", "docs", "good,lossy", "two")},
		{exitFailed, "two-lossy exists already; give another -o", gateLine("good", "docs", "all", "two")},
		{exitUsage, "write a share as a percentage, like 5%", gateLine("good", "docs", "good", "x", "-worse", "0.05")},
		{exitUsage, "the limit of a tie", gateLine("good", "docs", "good", "x", "-worse", "1%")},
		{exitUsage, `unknown backend "nope"`, gateLine("good", "docs", "nope", "x")},
		{exitFailed, "cannot build commit", gateLine("good", "broken", "good", "x")},
	})
	nothingLeft(t)
}

// TestGateRates: the run that confirms another one has the rate that the pilot of the
// first chose.
func TestGateRates(t *testing.T) {
	g := &gateRun{cfg: bench.Config{Plan: bench.Quick(record.Broadcast, nil)}}
	if first := g.config("epoll", "x", false); !first.Pilot || first.Seed != 1 {
		t.Errorf("first %+v", first.Plan)
	}
	g.rates = openRates(&record.Run{Manifest: record.Manifest{Loads: []record.Load{{Rate: 500}, {Window: 128}}}})
	again := g.config("epoll", "x", true)
	if again.Pilot || len(again.Rates) != 1 || again.Rates[0] != 500 || len(again.Windows) != 1 || again.Seed == 1 {
		t.Errorf("again %+v", again.Plan)
	}
}

// TestGateInterrupt: Ctrl-C while it measures leaves nothing either.
func TestGateInterrupt(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	makeHistory(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stderr := &watched{word: "deliveries/s", found: func([]byte) { cancel() }}
	var stdout bytes.Buffer
	status := Run(ctx, gateLine("good", "docs", "good", "cut"), Env{Stdout: &stdout, Stderr: stderr, Bin: programs, Live: live.Terminal{Moves: true}})
	if _, last, _ := cutLast(stderr.String(), "\x1b[J"); status != exitFailed || stdout.Len() > 0 || last != "bench: interrupted; nothing was written\n" {
		t.Errorf("status %d, stdout %q, stderr ends in %q", status, stdout.String(), last)
	}
	if !strings.Contains(stderr.String(), "building baseline, commit ") {
		t.Errorf("progress was %q", stderr.String())
	}
	if left, _ := filepath.Glob("cut*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	nothingLeft(t)
}
