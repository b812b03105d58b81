package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatbench/bench/machine"
	"chatbench/bench/meter"
)

// TestMain is also the server that is started: what it does is its argument.
func TestMain(m *testing.M) {
	if os.Getenv("SERVER_CHILD") == "" {
		os.Exit(m.Run())
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	listening := func() {
		fmt.Printf(`{"event":"listening","backend":"fake","addr":"127.0.0.1:1","pid":%d,"gomaxprocs":%d}`+"\n", os.Getpid(), runtime.GOMAXPROCS(0))
	}
	switch os.Args[1] {
	case "good", "child":
		if os.Args[1] == "child" {
			cmd := exec.Command("sleep", "100")
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				os.Exit(1)
			}
		}
		listening()
		<-term
		fmt.Println(`{"event":"stopped","counters":{"writes":7,"bytes_out":70},"room":{"messages":1},"ends":{"eof":3},"runtime":{"gc_cycles":2,"heap_bytes":9},"error":""}`)
	case "burns":
		burn(os.Getenv("SERVER_LEAF") == "")
		listening()
		<-term
	case "plain":
		fmt.Println("null: listening on 127.0.0.1:2")
		<-term
	case "silent":
		<-term
	case "babble":
		fmt.Println("hello")
		<-term
	case "refuses":
		fmt.Fprintln(os.Stderr, "a line\nfake: port in use")
		os.Exit(1)
	case "dies":
		listening()
		fmt.Fprintln(os.Stderr, "fake: out of luck")
		os.Exit(4)
	case "mute at the end":
		listening()
		<-term
	case "fails at the end":
		listening()
		<-term
		fmt.Println(`{"event":"stopped","error":"loop broke"}`)
	}
}

// burn uses all the CPU it gets, and so does a child in a group of its own.
func burn(withChild bool) {
	go func() {
		for n := 0; ; n++ {
			if n%1_000_000 == 0 {
				syscall.Getppid()
			}
		}
	}()
	if withChild {
		cmd := exec.Command("/proc/self/exe", "burns")
		cmd.Env = append(os.Environ(), "SERVER_LEAF=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			os.Exit(1)
		}
	}
}

// TestFreeze: a frozen tree uses no CPU at all, a thawed one continues, and
// Kill leaves none of it behind, frozen or not.
func TestFreeze(t *testing.T) {
	l := launcher(t)
	p, err := l.Start(context.Background(), true, "/proc/self/exe", "burns")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	m := meter.Meter{Root: p.PID, Counters: p.Counters}
	pids := meter.Tree(p.PID)
	if len(pids) != 2 {
		t.Fatalf("the tree is %v", pids)
	}
	used := func(from meter.Sample) int64 {
		to := m.ReadAll()
		return *m.Between(from, to, from, to).CPU
	}
	for range 3 {
		if err := p.Freeze(); err != nil {
			t.Fatal(err)
		}
		from := m.ReadAll()
		time.Sleep(80 * time.Millisecond)
		if cpu := used(from); cpu != 0 {
			t.Errorf("frozen it took %d ns", cpu)
		}
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		await(t, "work after it is thawed", func() bool { return used(from) > 0 })
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	await(t, "the end of its child", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pids[1]))
		return err != nil || strings.Contains(string(stat), ") Z ") // gone, or nobody's to wait for
	})
}

// await waits for something that has no event. How long it takes depends on the machine.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func launcher(t *testing.T) *Launcher {
	t.Helper()
	t.Setenv("SERVER_CHILD", "1")
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	t.Setenv("GOMAXPROCS", "7")
	cpus, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLauncher(cpus[:1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestLifecycle(t *testing.T) {
	l := launcher(t)
	for range 3 { // a fresh one each time
		p, err := l.Start(context.Background(), true, "/proc/self/exe", "good")
		if err != nil {
			t.Fatal(err)
		}
		if p.Addr != "127.0.0.1:1" || p.Listening["gomaxprocs"] != 1.0 || p.Listening["pid"] != nil || p.Died() != nil {
			t.Errorf("ready: %q, %v, %v", p.Addr, p.Listening, p.Died())
		}
		got, err := p.Stop()
		if err != nil {
			t.Fatal(err)
		}
		if got.Writes != 7 || got.BytesOut != 70 || got.GCCycles != 2 || got.Ends["eof"] != 3 || got.Stopped <= 0 {
			t.Errorf("counted %+v", got)
		}
		p.Kill() // again does no harm
	}
}

func TestBadServers(t *testing.T) {
	l := launcher(t)
	for name, want := range map[string]string{
		"refuses": "before it listened: exit status 1: fake: port in use",
		"babble":  `printed "hello" instead of a JSON line`,
	} {
		if _, err := l.Start(context.Background(), false, "/proc/self/exe", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]string{
		"dies":             "exit status 4: fake: out of luck",
		"mute at the end":  "instead of its counters",
		"fails at the end": "loop broke",
	} {
		p, err := l.Start(context.Background(), false, "/proc/self/exe", name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "dies" {
			<-p.Done()
			if p.Died() == nil {
				t.Error("Died is nil after the server died")
			}
		}
		if _, err := p.Stop(); !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	p, err := l.Start(context.Background(), false, "/proc/self/exe", "plain")
	if err != nil || p.Addr != "127.0.0.1:2" {
		t.Fatalf("a plain server: %v", err)
	}
	p.Kill()
	if _, err := l.Start(context.Background(), false, "/nowhere/chatd"); err == nil {
		t.Error("a program that is not there started")
	}
}

// TestNothingLeft: neither a server that is interrupted before it listens nor
// the child of one that is killed stays behind.
func TestNothingLeft(t *testing.T) {
	l := launcher(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Start(ctx, false, "/proc/self/exe", "silent"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server: %v", err)
	}
	p, err := l.Start(context.Background(), false, "/proc/self/exe", "child")
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	await(t, "the end of the server's child", func() bool { // the orphan is reaped by init in its own time
		return syscall.Kill(-p.PID, 0) == syscall.ESRCH || zombies(p.PID)
	})
}

// zombies says whether all that is left of a process group is dead.
func zombies(group int) bool {
	out, _ := exec.Command("ps", "-eo", "pgid=,stat=").Output()
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == fmt.Sprint(group) && f[1][0] != 'Z' {
			return false
		}
	}
	return true
}

func TestTail(t *testing.T) {
	var end tail
	for range 3 {
		fmt.Fprintf(&end, "%s\nlast line\n\n", strings.Repeat("x", tailSize))
	}
	if end.last() != "last line" || len(end.text) > tailSize {
		t.Errorf("kept %d octets, the last line is %q", len(end.text), end.last())
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"HOME=/root", "GOMAXPROCS=9", "CHATD_MAX_CLIENTS=3"}, 2)
	if strings.Join(got, " ") != "GOMAXPROCS=2 HOME=/root" {
		t.Errorf("the server gets %q", got)
	}
}

// TestOutput: a command runs on the launcher's CPUs, started by its thread, to its end or to
// the end of the context.
func TestOutput(t *testing.T) {
	allowed, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLauncher(allowed[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begun := 0
	out, err := l.Output(context.Background(), func() { begun++ }, "grep", "Cpus_allowed_list", "/proc/self/status")
	if want := "\t" + machine.FormatCPUs(allowed[:1]) + "\n"; err != nil || !strings.HasSuffix(string(out), want) || begun != 1 {
		t.Errorf("%q, %v, begun %d times; want %q at the end", out, err, begun, want)
	}
	for _, bad := range [][]string{{"false"}, {"/nowhere/at/all"}} {
		if _, err := l.Output(context.Background(), func() {}, bad[0]); err == nil {
			t.Errorf("%v passed", bad)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := l.Output(ctx, cancel, "sleep", "100"); err == nil {
		t.Error("a command that was killed passed")
	}
}
