package command

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chatbench/bench/record"
	"chatbench/loadgen"
	"chatbench/loadgen/agents"
)

// driven carries out a command line that waits for agents. It calls join with the address at which
// bench waits: one that the kernel has chosen, because an address that is free now may be taken a moment later.
func driven(t *testing.T, programs string, args []string, join func(address string)) outcome {
	t.Helper()
	joined := false
	stderr := &watched{word: "waiting for 2 agents on ", found: func(line []byte) {
		_, address, _ := strings.Cut(strings.TrimSpace(string(line)), " agents on ")
		joined = true
		join(address)
	}}
	var stdout bytes.Buffer
	status := Run(t.Context(), append(args, "-agents", "alpha,beta", "-agents-listen", "127.0.0.1:0"), Env{Stdout: &stdout, Stderr: stderr, Bin: programs})
	if !joined {
		t.Fatalf("status %d, and it did not wait for agents: %s", status, stderr.String())
	}
	return outcome{status, stdout.String(), stderr.String()}
}

// startAgent runs an agent until bench tells it to leave. Before load number off, if
// that is not 0, it leaves itself.
func startAgent(t *testing.T, address, name string, off int) (ended chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	loads := 0
	ended = make(chan error, 1)
	go func() {
		defer cancel()
		ended <- agents.Serve(ctx, agents.Options{Join: address, Name: name, Threads: 1, Wait: 20 * time.Second, Log: func(line string) {
			if strings.HasPrefix(line, "load on ") {
				if loads++; loads == off {
					cancel()
				}
			}
		}})
	}()
	return ended
}

// withAgents is a run in pieces that two agents drive.
func withAgents(dir string) []string {
	return append(strings.Fields("run -backends good -whole -rounds 2 -warmup 50ms -duration 200ms -clients 6 -senders 2 -rate 400/s -window 4 -foreign-max 1 -o"), dir)
}

// TestAgents: a load that two agents drive is one run, with their names and the offsets of their
// clocks, and every message is checked.
func TestAgents(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	var alpha, beta chan error
	got := driven(t, programs, withAgents("r"), func(address string) {
		alpha, beta = startAgent(t, address, "alpha", 0), startAgent(t, address, "beta", 0)
	})
	if got.status != exitOK && got.status != exitViolated && got.status != exitDisturbed {
		t.Fatalf("%+v", got)
	}
	if err := errors.Join(<-alpha, <-beta); err != nil {
		t.Error(err)
	}
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Manifest.Agents) != 2 || run.Manifest.GeneratorThreads != 2 || len(run.Manifest.GeneratorCPUs) != 0 || len(run.Rounds) != 2*2*2 {
		t.Errorf("%d rounds, generator on %v, agents %+v", len(run.Rounds), run.Manifest.GeneratorCPUs, run.Manifest.Agents)
	}
	for i, a := range run.Manifest.Agents {
		if a.Name != []string{"alpha", "beta"}[i] || a.Threads != 1 || a.Version != agents.Version() || a.Host == "" || a.Kernel == "" || a.Bound <= 0 || a.Offset.Abs() > time.Minute || a.RoundTrip < a.Bound {
			t.Errorf("%+v", a)
		}
		if line := "agent " + a.Name + " (" + a.Address + "), 1 threads, its clock "; !strings.Contains(got.stderr, line) {
			t.Errorf("no %q in %s", line, got.stderr)
		}
	}
	for _, r := range run.Rounds {
		if r.Error != "" || r.Traffic.Lost != 0 || r.Traffic.Checked == 0 || r.Server.Writes != r.Traffic.Checked || r.ElsewhereBound <= 0 || r.Usage.Cut < 100*time.Millisecond {
			t.Errorf("%+v", r)
		}
		if open := r.Load == "fixed400"; (r.Elsewhere.Count > 0) != open || open && r.Due.Count+r.Elsewhere.Count != 6*r.Traffic.Due {
			t.Errorf("under %s %d latencies from due, %d across agents, of %d messages", r.Load, r.Due.Count, r.Elsewhere.Count, r.Traffic.Due)
		}
	}
	if strings.Contains(got.stdout, "every message reached every client") {
		t.Errorf("latencies across agents are missed in\n%s", got.stdout)
	}
	if got := try(t.Context(), programs, "verify", "r"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestAgentLost: a round in which an agent leaves is void, and so are those in
// which it is missing; the exit status says so.
func TestAgentLost(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	var alpha chan error
	again := make(chan error, 1)
	got := driven(t, programs, withAgents("r"), func(address string) {
		alpha = startAgent(t, address, "alpha", 0)
		beta := startAgent(t, address, "beta", 2)
		go func() { // it comes back
			if err := <-beta; !errors.Is(err, loadgen.ErrInterrupted) {
				t.Errorf("beta: %v", err)
			}
			again <- <-startAgent(t, address, "beta", 0)
		}()
	})
	if err := errors.Join(<-alpha, <-again); err != nil {
		t.Error(err)
	}
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	for i, r := range run.Rounds {
		if lost := slices.Contains(r.Void, record.AgentLost); lost != (i == 1) || lost && !strings.Contains(r.Error, "beta") {
			t.Errorf("round %d: void %v, %s", i+1, r.Void, r.Error)
		}
	}
	if !strings.Contains(got.stdout+got.stderr, string(record.AgentLost)) {
		t.Errorf("%+v", got)
	}
	if got := try(t.Context(), programs, "verify", "r"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestAgentReplaced: arms of one round that were driven before and after an agent was replaced cannot be compared, so
// all of them are void, and the manifest says since when the new agent drove.
func TestAgentReplaced(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	var alpha chan error
	again := make(chan error, 1)
	args := strings.Fields("run -backends good,good@workers=1 -whole -rounds 2 -warmup 50ms -duration 200ms -clients 6 -senders 2 -rate none -window 4 -foreign-max 1 -o r")
	got := driven(t, programs, args, func(address string) {
		alpha = startAgent(t, address, "alpha", 0)
		beta := startAgent(t, address, "beta", 2)
		go func() {
			<-beta
			again <- <-startAgent(t, address, "beta", 0)
		}()
	})
	if err := errors.Join(<-alpha, <-again); err != nil {
		t.Error(err)
	}
	run, _, err := record.Read("r")
	if err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	for i, r := range run.Rounds {
		if void := slices.Contains(r.Void, record.AgentLost); void != (r.Round == 1) || r.AgentsChanged != (i == 0 || i == 2) || (r.Error != "") != (i == 1) {
			t.Errorf("round %d, %s: void %v, changed %v, %s", r.Round, r.Arm, r.Void, r.AgentsChanged, r.Error)
		}
	}
	if a := run.Manifest.Agents; len(run.Rounds) != 6 || len(a) != 3 || a[2].Name != "beta" || a[2].Place != a[1].Place || a[2].Since != 1 || a[1].Since != 0 {
		t.Errorf("%d rounds, %+v", len(run.Rounds), a)
	}
	if got := try(t.Context(), programs, "verify", "r"); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestAgentMistakes: what agents cannot do is refused before bench waits for them.
func TestAgentMistakes(t *testing.T) {
	programs := bin(t)
	t.Chdir(t.TempDir())
	for args, says := range map[string]string{
		"-agents 2 -rate 100/s":                          "add -whole",
		"-agents 2 -whole":                               "give the open loop's -rate",
		"-agents 2 -whole -scenario relay -rate 10/s":    "drive a broadcast",
		"-agents a,b,a -whole -rate 100/s":               "a is listed twice",
		"-agents 2 -whole -rate 100/s -generator-cpus 0": "leave -generator-cpus out",
		"-agents 0":                            "0 agents",
		"-agents a,,b":                         "a number or names",
		"-agents-listen :1 -whole -rate 100/s": "give -agents",
		"-agents 2 -whole -rate 100/s -backends good,good@tls": "agents speak no TLS",
	} {
		got := try(t.Context(), programs, append([]string{"run", "-backends", "good"}, strings.Fields(args)...)...)
		if got.status != exitUsage || !strings.Contains(got.stderr, says) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %+v, want %q", args, got, says)
		}
	}
}
