package all_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/core/wire"
)

var (
	siege  = flag.Bool("siege", false, "run TestSiege, a minute for each transport (make siege)")
	cycles = flag.Int("siege.cycles", 10_000, "how often a client of TestSiege connects, logs in and disconnects")
)

// TestSiege runs every transport as a server under load, and causes faults: clients that stop reading,
// clients that come and go, a child that is killed, descriptors that run out. The other clients must not
// notice: the load generator checks every delivery, and its exit code says whether all came.
func TestSiege(t *testing.T) {
	if !*siege {
		t.Skip("it takes a minute for each transport: make siege")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "chatbench/cmd/chatd", "chatbench/cmd/loadgen")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, b := range all.All() {
		settings := []backends.Coalesce{backends.CoalesceOff}
		if b.Coalesces {
			settings = append(settings, coalescing...)
		}
		for _, c := range settings {
			t.Run(b.Name+"/coalesce="+c.String(), func(t *testing.T) {
				if err := b.Runs(); err != nil {
					t.Skip(err)
				}
				besiege(t, b, c, bin)
			})
		}
	}
}

func besiege(t *testing.T, b backends.Backend, c backends.Coalesce, bin string) {
	s := startServer(t, b, c, bin)
	load := exec.Command(filepath.Join(bin, "loadgen"), "broadcast", "-server", s.addr, "-clients", "30", "-senders", "10",
		"-rate", "200/s", "-duration", "30s", "-drain", "10s", "-connect-timeout", "30s")
	var said strings.Builder
	load.Stdout, load.Stderr = &said, &said
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() { loaded <- load.Wait() }()
	time.Sleep(2 * time.Second) // the load has begun

	for i := range 5 {
		s.login(t, fmt.Sprintf("stopped%d", i)) // which never reads
	}
	s.comeAndGo(t)
	if b.PerClient == backends.OwnProcess {
		s.killChild(t)
	}
	s.exhaust(t)
	s.login(t, "afterwards").Close()

	if err := <-loaded; err != nil {
		t.Errorf("the other clients noticed: %v\n%s", err, said.String())
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("chatd: %v", err)
	}
}

// server is a running chatd.
type server struct {
	cmd  *exec.Cmd
	addr string
}

func startServer(t *testing.T, b backends.Backend, c backends.Coalesce, bin string) *server {
	cmd := exec.Command(filepath.Join(bin, "chatd"), "-backend", b.Name, "-listen", "127.0.0.1:0", "-open", "-json",
		"-max-clients", "400", "-sndbuf", "64KiB", "-flood", "off", "-announce=false", "-login-throttle", "off", "-max-per-address", "0", "-coalesce", c.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var listening struct{ Addr string }
	if err := json.Unmarshal([]byte(line), &listening); err != nil {
		t.Fatal(err)
	}
	go lines.WriteTo(os.Stderr)
	return &server{cmd, listening.Addr}
}

// enter connects and logs in.
func (s *server) enter(name string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", s.addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err = c.Write(wire.AppendCred(nil, name, "pw")); err == nil {
		answer := make([]byte, len("\x01granted\x00"))
		if _, err = c.Read(answer); err == nil && string(answer) != "\x01granted\x00" {
			err = fmt.Errorf("answered %q", answer)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *server) login(t *testing.T, name string) net.Conn {
	t.Helper()
	c, err := s.enter(name)
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// comeAndGo connects, logs in and disconnects again and again, half of the times with a reset.
func (s *server) comeAndGo(t *testing.T) {
	n := *cycles
	before := descriptors(t, s.cmd.Process.Pid)
	for i := range n {
		c, err := s.enter("brief" + strconv.Itoa(i))
		if err != nil {
			t.Fatalf("login %d of %d: %v", i, n, err)
		}
		if i%2 == 0 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	const slack = 8 // connections that are not closed yet
	for end := time.Now().Add(20 * time.Second); descriptors(t, s.cmd.Process.Pid) > before+slack; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors before %d connections, %d after", before, n, descriptors(t, s.cmd.Process.Pid))
		}
	}
}

// killChild kills the process of one client, which it logs in for that.
func (s *server) killChild(t *testing.T) {
	before := children(t, s.cmd.Process.Pid)
	c := s.login(t, "victim")
	for pid := range children(t, s.cmd.Process.Pid) {
		if !before[pid] {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 1<<16); ; {
		if _, err := c.Read(buf); err != nil {
			if os.IsTimeout(err) {
				t.Error("the client of a killed process is still connected")
			}
			return
		}
	}
}

// exhaust leaves the server hardly any descriptors, connects clients, and restores the limit.
func (s *server) exhaust(t *testing.T) {
	pid := s.cmd.Process.Pid
	var old unix.Rlimit
	tight := unix.Rlimit{Cur: uint64(descriptors(t, pid) + 3), Max: 20_000}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	tight.Max = old.Max
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &tight, nil); err != nil {
		t.Fatal(err)
	}
	var connecting []net.Conn
	for range 50 {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			connecting = append(connecting, c)
		}
	}
	time.Sleep(2 * time.Second)
	for _, c := range connecting {
		c.Close()
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func children(t *testing.T, pid int) map[int]bool {
	t.Helper()
	set := map[int]bool{}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tasks {
		list, _ := os.ReadFile(path)
		for _, field := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				set[child] = true
			}
		}
	}
	return set
}
