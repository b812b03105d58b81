package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/bench/meter"
	"chatbench/bench/record"
	"chatbench/internal/spawntest"
	"chatbench/server/control"
	"chatbench/server/gate"
)

// timeout bounds all that has no bound of its own.
const timeout = time.Minute

// server is a running chatd.
type server struct {
	x      *run
	cmd    *exec.Cmd
	pid    int
	addr   string
	socket string
	log    *logBuffer
	ended  chan struct{}
	err    error // how it ended; valid after ended is closed
}

// serve starts a chatd without namespaces of its own.
func (x *run) serve(args ...string) *server {
	x.Helper()
	at, err := spawntest.Shared()
	if err != nil {
		x.Fatal(err)
	}
	return x.serveAt(at, args...)
}

// serveAt starts a chatd in a place, and waits until it listens. The arguments override the
// common flags. The chatd is ended with the experiment, if it is still running; then it must
// exit with status 0.
func (x *run) serveAt(at *spawntest.Thread, args ...string) *server {
	x.Helper()
	path, err := program()
	if err != nil {
		x.Fatal(err)
	}
	if !x.bound {
		args = append([]string{"-login-timeout", timeout.String(), "-drain", timeout.String()}, args...)
	}
	if !x.bound {
		args = append([]string{"-login-timeout", timeout.String(), "-drain", timeout.String()}, args...)
	}
	s := &server{x: x, socket: filepath.Join(x.TempDir(), "ctl"), log: new(logBuffer), ended: make(chan struct{})}
	s.cmd = exec.Command(path, append([]string{
		"-backend", x.backend.Name, "-listen", "127.0.0.1:0", "-json", "-log-format", "json", "-control", s.socket,
		"-announce=false", "-flood", "off", "-login-throttle", "off",
	}, args...)...)
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHATD_") })
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = time.Second // children may keep its standard error open
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = at.Do(s.cmd.Start)
	}
	if err != nil {
		x.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	listening := make(chan string, 1)
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for n := 0; lines.Scan(); n++ {
			if n == 0 {
				listening <- lines.Text()
			}
		}
		s.err = s.cmd.Wait()
	}()
	x.Cleanup(s.end)
	select {
	case line := <-listening:
		var said struct{ Addr string }
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Addr == "" {
			x.Fatalf("chatd printed %q, want a line with its address", line)
		}
		s.addr = said.Addr
	case <-s.ended:
		x.Fatalf("chatd did not start: %v: %s", s.err, s.log.tail())
	case <-time.After(timeout):
		x.Fatalf("chatd did not listen within %v: %s", timeout, s.log.tail())
	}
	return s
}

// end ends the server by SIGTERM, if it is still running. It must exit with status 0.
func (s *server) end() {
	if s.running() {
		s.signal(unix.SIGTERM)
		select {
		case <-s.ended:
			if s.err != nil {
				s.x.Errorf("chatd ended with %v", s.err)
			}
		case <-time.After(2 * timeout):
			s.x.Errorf("chatd was still running %v after SIGTERM", 2*timeout)
		}
	}
	unix.Kill(-s.pid, unix.SIGKILL) // the whole group; an error means that it has ended
	<-s.ended
	if s.x.Failed() && testContext.Err() == nil {
		s.x.Logf("the end of chatd's log:\n%s", s.log.tail())
	}
}

func (s *server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *server) signal(sig unix.Signal) {
	s.x.Helper()
	if err := unix.Kill(s.pid, sig); err != nil {
		s.x.Errorf("signal %v: %v", sig, err)
	}
}

// stop ends the server by SIGTERM and returns how long that took.
func (s *server) stop() time.Duration {
	s.x.Helper()
	begun := time.Now()
	s.signal(unix.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(timeout):
		s.x.Fatalf("chatd was still running %v after SIGTERM", timeout)
	}
	return time.Since(begun)
}

// ask sends a request to the control socket.
func (s *server) ask(r control.Request) control.Answer {
	s.x.Helper()
	a, err := control.Ask(s.socket, r)
	if err != nil {
		s.x.Fatal(err)
	}
	return a
}

// serverStats is the counters of a server.
type serverStats struct {
	Room struct {
		Clients, Pending, Granted int64
		Logins, Denials, Messages int64
		Ends                      map[string]int64
	}
	Logins    gate.Stats
	Transport struct {
		Accepts       int64
		AcceptErrors  int64 `json:"accept_errors"`
		NoDescriptors int64 `json:"no_descriptors"`
	}
}

func (s *server) stats() (st serverStats) {
	s.x.Helper()
	if err := json.Unmarshal(s.ask(control.Request{Command: "stats"}).Stats, &st); err != nil {
		s.x.Fatal(err)
	}
	return st
}

// waitForClients waits until the server has exactly so many clients.
func (s *server) waitForClients(clients int) {
	s.x.Helper()
	s.x.wait(timeout, func() bool { return s.stats().Room.Clients == int64(clients) }, "the server has %d clients", clients)
}

// memory is the octets that the server and its children have in memory. Shared memory is
// counted once.
func (s *server) memory() int64 {
	s.x.Helper()
	octets, ok := s.readMemory()
	if !ok {
		s.x.Fatal("the memory of chatd cannot be read from /proc")
	}
	return octets
}

// readMemory is memory for any goroutine; ok is false if a process has ended meanwhile.
func (s *server) readMemory() (octets int64, ok bool) {
	var u record.Usage
	(&meter.Meter{Root: s.pid}).ReadMemory(&u)
	if u.PSS == nil {
		return 0, false
	}
	return *u.PSS, true
}

// cpu is the CPU that the server and its children use meanwhile; 1 is one processor.
func (s *server) cpu(meanwhile func()) float64 {
	m := &meter.Meter{Root: s.pid}
	before := m.ReadAll()
	meanwhile()
	after := m.ReadAll()
	used := m.Between(before, after, before, after)
	return float64(*used.CPU) / float64(after.At.Sub(before.At))
}

// descriptors is how many descriptors the server has open. It is the least of several counts,
// to leave out those that are open for a moment, such as of control requests.
func (s *server) descriptors() int64 {
	s.x.Helper()
	least := math.MaxInt
	for range 10 {
		s.x.pause(20 * time.Millisecond)
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid))
		if err != nil {
			s.x.Fatal(err)
		}
		least = min(least, len(list))
	}
	return int64(least)
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count is the number of lines that contain all these parts.
func (l *logBuffer) count(parts ...string) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		has := true
		for _, p := range parts {
			has = has && bytes.Contains(line, []byte(p))
		}
		if has {
			n++
		}
	}
	return n
}

func (l *logBuffer) tail() string {
	const most = 2 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.text.Bytes()
	return string(b[max(0, len(b)-most):])
}
