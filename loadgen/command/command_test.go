package command

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"chatbench/loadgen"
)

// output runs a command line to its end.
func output(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Run(ctx, args, Env{Stdout: &out, Stderr: &err})
	return status, out.String(), err.String()
}

// serveNull runs the null verb until the test ends.
func serveNull(t *testing.T) (address string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	read, write := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- Run(ctx, []string{"null", "-listen", "127.0.0.1:0"}, Env{Stdout: write, Stderr: io.Discard})
	}()
	t.Cleanup(func() {
		stop()
		if status := <-ended; status != exitOK {
			t.Errorf("null: exit status %d", status)
		}
	})
	line := make([]byte, 200)
	n, err := read.Read(line)
	const head = "loadgen: null server listening on "
	if err != nil || !strings.HasPrefix(string(line[:n]), head) {
		t.Fatalf("null says %q, %v", line[:n], err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(line[:n]), head))
}

// The program and each of its verbs say what they were built from.
func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"-version"}, {"--version"}, {"broadcast", "-version"}, {"null", "-version"}, {"price", "-version"}} {
		status, stdout, stderr := output(context.Background(), args...)
		if status != exitOK || !strings.HasPrefix(stdout, "loadgen of chatbench\ncommit ") || stderr != "" {
			t.Errorf("%q: %d, %q, %q", args, status, stdout, stderr)
		}
	}
}

// A mistake on the command line is one line on stderr, nothing on stdout, and
// exit status 2; a run that cannot be, 1.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"storm", exitUsage, `unknown verb "storm"`},
		{"relay", exitUsage, "give a rate (open loop, like 1000/s) or a window"},
		{"relay -window 16 -files 100", exitUsage, "give 1 to 64"},
		{"relay -window 16 -chat-rate 50", exitUsage, "written like 2000/s"},
		{"idle -rate 5/s", exitUsage, "rate"},
		{"idle -clients 0", exitUsage, "0 clients"},
		{"broadcast -rate 1000", exitUsage, "written like 2000/s"},
		{"broadcast -rate 1000/s -size 4K", exitUsage, "written like 64B"},
		{"broadcast -rate 1000/s extra", exitUsage, `"extra"`},
		{"broadcast -bogus", exitUsage, "bogus"},
		{"broadcast", exitUsage, "give a rate (open loop, like 1000/s) or a window"},
		{"broadcast -rate 10/s -window 5", exitUsage, "give one of them"},
		{"broadcast -rate 10/s -senders 200", exitUsage, "200 senders among 100 clients"},
		{"broadcast -rate 1000/s -size 3B", exitUsage, "give 16B to"},
		{"broadcast -rate 1000/s -duration 0s", exitUsage, "above zero"},
		{"broadcast -rate 1000/s -duration -1s", exitUsage, "duration"},
		{"broadcast -rate 1000/s -arrivals often", exitUsage, "give fixed or poisson"},
		{"broadcast -rate 1000/s -cpu x", exitUsage, "CPUs are written like"},
		{"broadcast -rate 1000/s -cpu 1023", exitUsage, "no thread may run on CPU"},
		{"broadcast -rate 1000/s -ceiling much", exitUsage, "written like"},
		{"broadcast -rate 1000/s -senders 500 -ceiling null", exitUsage, "senders among"},
		{"broadcast -rate 1000/s -server 127.0.0.1:1", exitFailed, "nothing listens on 127.0.0.1:1"},
		{"broadcast -rate 1000/s -ca x", exitUsage, "-ca needs -tls: add -tls"},
		{"idle -insecure-skip-verify", exitUsage, "-insecure-skip-verify needs -tls"},
		{"relay -rate 1000/s -tls -ca /nowhere/cert.pem", exitFailed, "-ca: open /nowhere/cert.pem: no such file"},
		{"broadcast -rate 1000/s -tls -ceiling null", exitUsage, "the null server speaks no TLS"},
		{"null -tls", exitUsage, "-tls"},
		{"agent", exitUsage, "give -join HOST:PORT"},
		{"agent -join 127.0.0.1:1 -threads 3 -cpu 0", exitUsage, "3 threads and 1 CPUs"},
		{"agent -join 127.0.0.1:1 -wait 0s", exitFailed, "no coordinator listens at 127.0.0.1:1"},
		{"broadcast -rate 1000/s -threads 0", exitUsage, "-threads is 0; give it above zero"},
		{"broadcast -rate 1000/s -threads 3 -cpu 0,1", exitUsage, "3 threads and 2 CPUs; give one CPU for each thread"},
		{"broadcast -rate 1000/s -threads 200", exitUsage, "100 clients for 200 threads"},
		{"broadcast -rate 1000/s -threads 2 -ceiling null", exitUsage, "leave the ceiling out"},
		{"relay -rate 1000/s -threads 2", exitUsage, "-threads"},
		{"idle -server 127.0.0.1:1,127.0.0.1:2", exitUsage, "several threads or servers are for a broadcast load"},
		{"fetch -size 1K", exitUsage, "written like 64B"},
		{"fetch -size 0B", exitUsage, "at least 1B"},
		{"fetch -chat-rate 50", exitUsage, "written like 2000/s"},
		{"fetch -turns 0", exitUsage, "turns"},
		{"fetch extra", exitUsage, `"extra"`},
		{"fetch -size 1MiB -server 127.0.0.1:1", exitFailed, "cannot reach 127.0.0.1:1"},
		{"fetch -dir /nowhere/at/all", exitFailed, "another -dir"},
		{"price -tls", exitUsage, "-tls"},
		{"null -listen nowhere", exitFailed, "nowhere"},
		{"null -cpu 5-3", exitUsage, "CPUs are written like"},
	} {
		status, stdout, stderr := output(context.Background(), strings.Fields(c.args)...)
		if status != c.status || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want status %d and %q", c.args, status, stdout, stderr, c.status, c.says)
		}
	}
	if status, stdout, stderr := output(context.Background()); status != exitUsage || stdout != "" || !strings.Contains(stderr, "broadcast") {
		t.Errorf("no verb: %d, %q, %q", status, stdout, stderr)
	}
	if status, stdout, stderr := output(context.Background(), "broadcast", "-h"); status != exitOK || stderr != "" || !strings.Contains(stdout, "-window") {
		t.Errorf("-h: %d, %q, %q", status, stdout, stderr)
	}
}

func TestTables(t *testing.T) {
	server := serveNull(t)
	for args, want := range map[string][]string{
		"broadcast -clients 5 -senders 2 -rate 1000/s -duration 100ms -warmup 20ms -objective 10s -server " + server: {
			"5 clients, 2 of them send 64B texts", "open loop, 1000/s, fixed arrivals, 100ms timed after 20ms", "from due", "from send", "generator lag",
			"checked     600 deliveries, every octet: none lost, duplicated, reordered or altered"},
		// several threads, and several addresses of a room: one address twice
		"broadcast -threads 2 -clients 6 -senders 3 -rate 1000/s -duration 100ms -warmup 20ms -objective 10s -server " + server + "," + server: {
			"broadcast to " + server + "," + server + ": 6 clients, 3 of them", "same server", "across servers", "2 threads, the busiest ",
			"checked     720 deliveries, every octet: none lost, duplicated, reordered or altered"},
		"relay -pairs 3 -rate 500/s -chat-rate 50/s -duration 100ms -warmup 20ms -objective 10s -server " + server: {
			"3 pairs, lists of 5 files with names of 32B, one request in 16 for a file; meanwhile 50/s of chat to 16 clients",
			"open loop, 500/s", "frames", "requests", "from due", "chat from due", "none lost"},
		"idle -clients 7 -duration 50ms -server " + server: {"7 clients, silent for 50ms", "connect to login"},
	} {
		status, stdout, stderr := output(context.Background(), strings.Fields(args)...)
		if status != exitOK || stderr != "" {
			t.Errorf("%s: status %d, stderr %q\n%s", args, status, stderr, stdout)
		}
		for _, w := range want {
			if !strings.Contains(stdout, w) {
				t.Errorf("%s: no %q in\n%s", args, w, stdout)
			}
		}
	}
}

func TestBroadcastPrintsJSON(t *testing.T) {
	server := serveNull(t)
	var r loadgen.Result
	for _, duration := range []string{"50ms", "500ms", "5s"} { // longer if it had no CPU for so long
		args := strings.Fields("broadcast -json -clients 5 -window 2 -warmup 0s -duration " + duration + " -server " + server)
		status, stdout, stderr := output(context.Background(), args...)
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != exitOK || stderr != "" {
			t.Fatalf("status %d, %v, stderr %q", status, err, stderr)
		}
		if r.Deliveries.Timed > 0 {
			break
		}
	}
	if r.Loop != "closed" || r.Window != 2 || r.Deliveries.Timed == 0 {
		t.Errorf("%+v", r)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	args := strings.Fields("broadcast -clients 5 -rate 10/s -duration 1h -server " + serveNull(t))
	status, stdout, stderr := output(ctx, args...)
	if status != exitFailed || stdout != "" || stderr != "loadgen: interrupted; the run is void\n" {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestVoidResult(t *testing.T) {
	var out bytes.Buffer
	r := &loadgen.Result{Loop: loadgen.Open, Violations: []string{"3 deliveries lost"}, GeneratorLimited: []string{"its lag"}}
	r.Ledger.Lost = 3
	if status := printResult(Env{Stdout: &out}, r, false); status != exitViolated {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"VIOLATED    3 deliveries lost", "LIMITED     by the generator: its lag", "(generator-limited)", "3 lost, 0 duplicated"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		latency(999): "999 ns", latency(1234): "1.23 µs", latency(56_789_000): "56.8 ms", latency(12e9): "12.0 s",
		short(999): "999", short(23_456_789): "23.5 M", short(12_345): "12.3 k", short(2.5e9): "2.50 G",
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var c cpus
	if err := c.Set("0,2-4"); err != nil || c.String() != "0,2,3,4" {
		t.Errorf("%v, %v", c, err)
	}
}
