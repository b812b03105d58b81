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
	"chatbench/internal/placetest"
	"chatbench/server/control"
	"chatbench/server/gate"
)

// patience is how long anything may take that has no bound of its own.
const patience = time.Minute

// server is a chatd at work.
type server struct {
	x      *run
	cmd    *exec.Cmd
	pid    int
	addr   string
	socket string
	log    *logged
	ended  chan struct{}
	err    error // how it ended; valid after ended
}

// serve starts a chatd at home.
func (x *run) serve(args ...string) *server {
	x.Helper()
	at, err := placetest.Home()
	if err != nil {
		x.Fatal(err)
	}
	return x.serveAt(at, args...)
}

// serveAt starts a chatd in a place, and waits until it listens. Flags given here
// overrule the common ones. It ends with the experiment, and has to end well if it
// is still there.
func (x *run) serveAt(at *placetest.Place, args ...string) *server {
	x.Helper()
	path, err := program()
	if err != nil {
		x.Fatal(err)
	}
	s := &server{x: x, socket: filepath.Join(x.TempDir(), "ctl"), log: new(logged), ended: make(chan struct{})}
	s.cmd = exec.Command(path, append([]string{
		"-backend", x.backend.Name, "-listen", "127.0.0.1:0", "-json", "-log-format", "json", "-control", s.socket,
		"-announce=false", "-flood", "off", "-login-throttle", "off",
	}, args...)...)
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CHATD_") })
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = time.Second // children may hold its standard error
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
			x.Fatalf("chatd said %q where its address was due", line)
		}
		s.addr = said.Addr
	case <-s.ended:
		x.Fatalf("chatd did not start: %v: %s", s.err, s.log.tail())
	case <-time.After(patience):
		x.Fatalf("chatd did not listen within %v: %s", patience, s.log.tail())
	}
	return s
}

// end ends the server if it is still there: by SIGTERM, and it has to end well.
func (s *server) end() {
	if s.running() {
		s.signal(unix.SIGTERM)
		select {
		case <-s.ended:
			if s.err != nil {
				s.x.Errorf("chatd ended with %v", s.err)
			}
		case <-time.After(2 * patience):
			s.x.Errorf("chatd was still there %v after SIGTERM", 2*patience)
		}
	}
	unix.Kill(-s.pid, unix.SIGKILL) // its whole group; gone already is fine
	<-s.ended
	if s.x.Failed() && life.Err() == nil {
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

// stop ends the server by SIGTERM and gives how long that took.
func (s *server) stop() time.Duration {
	s.x.Helper()
	begun := time.Now()
	s.signal(unix.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.x.Fatalf("chatd was still there %v after SIGTERM", patience)
	}
	return time.Since(begun)
}

// ask asks over the control socket.
func (s *server) ask(r control.Request) control.Answer {
	s.x.Helper()
	a, err := control.Ask(s.socket, r)
	if err != nil {
		s.x.Fatal(err)
	}
	return a
}

// counted is what a server has counted.
type counted struct {
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

func (s *server) stats() (st counted) {
	s.x.Helper()
	if err := json.Unmarshal(s.ask(control.Request{Command: "stats"}).Stats, &st); err != nil {
		s.x.Fatal(err)
	}
	return st
}

// settled waits until nobody but those who talk has a place.
func (s *server) settled(clients int) {
	s.x.Helper()
	s.x.wait(patience, func() bool { return s.stats().Room.Clients == int64(clients) }, "%d clients have a place", clients)
}

// memory is the octets that the server and its children have in memory, shared ones
// counted once.
func (s *server) memory() int64 {
	s.x.Helper()
	octets, ok := s.held()
	if !ok {
		s.x.Fatal("the memory of chatd cannot be read from /proc")
	}
	return octets
}

// held is the same for any goroutine; ok is false if a process has ended meanwhile.
func (s *server) held() (octets int64, ok bool) {
	var u record.Usage
	(&meter.Meter{Root: s.pid}).ReadMemory(&u)
	if u.PSS == nil {
		return 0, false
	}
	return *u.PSS, true
}

// cpu is the part of one processor that the server and its children use meanwhile.
func (s *server) cpu(meanwhile func()) float64 {
	m := &meter.Meter{Root: s.pid}
	before := m.ReadAll()
	meanwhile()
	after := m.ReadAll()
	used := m.Between(before, after, before, after)
	return float64(*used.CPU) / float64(after.At.Sub(before.At))
}

// descriptors is how many the server has open, but for those that it has for a moment,
// as of who has asked it something.
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

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count is how many lines have all of these parts.
func (l *logged) count(parts ...string) (n int64) {
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

func (l *logged) tail() string {
	const most = 2 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.text.Bytes()
	return string(b[max(0, len(b)-most):])
}
