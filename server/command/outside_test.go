package command_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/process/child"
	"chatbench/client"
)

// outside is a copy of the module in testdata, so that nothing is written there. It
// may use no network: it has to do with the modules that this one has.
type outside struct {
	*testing.T
	root, dir string
}

func newOutside(t *testing.T) *outside {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{T: t, root: root, dir: filepath.Join(t.TempDir(), "outside")}
	if err := os.CopyFS(o.dir, os.DirFS("testdata/outside")); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(o.dir, "go.sum"), sums, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.run(o.dir, "go", "mod", "edit", "-replace", "chatbench="+root)
	return o
}

// run runs a command in a directory, which has to go well.
func (o *outside) run(dir, name string, args ...string) string {
	o.Helper()
	out, code := o.try(dir, name, args...)
	if code != 0 {
		o.Fatalf("%s %s: exit code %d: %s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// try runs a command, and gives its exit code too.
func (o *outside) try(dir, name string, args ...string) (out string, code int) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
	if dir == o.dir {
		cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod")
	}
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// slow is the cases of the suite that take over half a second.
const slow = "/hostile|/soak|/short-of|/drain-under|/burst|/never-reads|/takes-its-time|/no-descriptors|/login-deadline"

// TestOutside: a transport that lives in another module, written to the contract
// alone, passes the suite, is a chatd with a main of ten lines, and is measured. Here
// it passes the quick cases; all of them: TestOutsideSuite.
func TestOutside(t *testing.T) {
	o := newOutside(t)
	o.run(o.dir, "go", "build", "-o", "bin/chatd", ".")
	o.run(o.root, "go", "build", "-o", filepath.Join(o.dir, "bin")+"/", "./cmd/bench", "./cmd/loadgen")
	out := o.run(o.dir, "go", "test", "-count=1", "-v", "-skip", slow, "./simple")
	if n := strings.Count(out, "    --- PASS: TestKeepsTheContract/"); n < 30 || strings.Contains(out, "--- SKIP") {
		t.Errorf("%d cases passed: %s", n, out)
	}
	o.measure()
	o.children()
}

var whole = flag.Bool("outside", false, "the whole suite over the transport in testdata (make outside)")

// TestOutsideSuite is the whole suite.
func TestOutsideSuite(t *testing.T) {
	if !*whole {
		t.Skip("half a minute: -outside")
	}
	o := newOutside(t)
	t.Log(o.run(o.dir, "go", "test", "-count=1", "-v", "./simple"))
}

// measure has bench measure the transport for a moment. Nothing may be lost; that
// a neighbour made rounds void is no fault of the transport's.
func (o *outside) measure() {
	o.Helper()
	if runtime.NumCPU() < 2 {
		o.Log("not measured: bench needs two CPUs")
		return
	}
	const voided = 4
	out, code := o.try(o.dir, "bin/bench", "run", "-chatd", "bin/chatd", "-backends", "outside", "-rounds", "1",
		"-duration", "100ms", "-foreign-max", "1", "-o", "results")
	if code != 0 && code != voided {
		o.Fatalf("bench: exit code %d: %s", code, out)
	}
	if !strings.Contains(out, "Every message arrived") || !strings.Contains(out, "outside.aa") {
		o.Errorf("bench (exit code %d) says %s", code, out)
	}
	o.run(o.dir, "bin/bench", "verify", "results")
}

// children: a transport of a process for each client works in a program of another
// module too, and its children are caught as early as those of chatd.
func (o *outside) children() {
	o.Helper()
	path := filepath.Join(o.dir, "bin/chatd")
	trace := exec.Command(path)
	trace.Env = append(child.Environment(true, 4096, 1000), "GODEBUG=inittrace=1") // descriptor 3 is missing
	out, err := trace.CombinedOutput()
	if code := trace.ProcessState.ExitCode(); code != child.BadSetup {
		o.Fatalf("a child ended with %v, it should have found nothing to do: %s", err, out)
	}
	for _, late := range []string{"net", "chatbench/core"} {
		if !strings.Contains(string(out), "init syscall @") || strings.Contains(string(out), "init "+late+" @") {
			o.Errorf("a child has initialised %s: %s", late, out)
		}
	}
	cmd := exec.Command(path, "-backend", "process", "-open", "-json", "-listen", "127.0.0.1:0")
	said, err := cmd.StdoutPipe()
	if err != nil {
		o.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		o.Fatal(err)
	}
	defer func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	var line struct{ Addr string }
	lines := bufio.NewScanner(said)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil {
		o.Fatalf("chatd said %q", lines.Text())
	}
	c, err := client.Dial(o.Context(), client.Config{Server: line.Addr, User: "alice", Password: "x"})
	if err != nil {
		o.Fatal(err)
	}
	defer c.Close()
	if err := c.Say("hello"); err != nil {
		o.Fatal(err)
	}
	for e := range c.Events() {
		if e == (client.Said{From: "alice", Text: "hello"}) {
			break
		}
	}
	if children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid)); !anyText(children) {
		o.Errorf("the client has no process of its own: %v", c.Err())
	}
	c.Close()
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		o.Fatal(err)
	}
	lines.Scan()
	last := lines.Text()
	if err := cmd.Wait(); err != nil || !strings.Contains(last, `"stopped"`) {
		o.Errorf("chatd ended with %v and said %q", err, last)
	}
}

// anyText says whether one of these files is not empty.
func anyText(paths []string) bool {
	for _, path := range paths {
		if text, _ := os.ReadFile(path); len(text) > 0 {
			return true
		}
	}
	return false
}
