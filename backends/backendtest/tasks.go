package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

var taskScenarios = []scenario{{"short-of-threads", shortOfThreads}}

// shortOfThreadsInside is set in the environment of shortOfThreads' other process.
const shortOfThreadsInside = "CHATBENCH_SHORT_OF_THREADS"

// shortOfThreads: other threads use up the limit of threads and processes. Of many clients
// that log in at once those who need one and cannot have it are turned away, and are not
// let in before. The server and its clients live on, and when the limit allows it clients
// are let in again. The case runs in a process of another user, since root has no limit.
func shortOfThreads(h *harness) {
	if os.Getenv(shortOfThreadsInside) != "" {
		serveShortOfThreads(h)
		return
	}
	if os.Getuid() != 0 {
		h.Logf("not run: only root can become another user")
		return
	}
	uid := uint32(1<<20 + os.Getpid()) // a user that has no other processes
	cmd := exec.Command("/proc/self/exe", "-test.run="+onlyThis(h.Name()), "-test.v")
	cmd.Env = append(os.Environ(), shortOfThreadsInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		h.Logf("not run: this root cannot become another user, or that user cannot run this program: %v", err)
		return
	}
	if text := string(out); err != nil || !strings.Contains(text, "--- PASS: "+h.Name()) {
		var cut string // what matters is at the end; what children print when they have no thread comes before
		if n := len(text) - 4000; n > 0 {
			cut, text = fmt.Sprintf("[%d octets left out] ", n), text[n:]
		}
		h.Errorf("%v: %s%s", err, cut, text)
	}
}

// onlyThis is the value of -test.run for a single test.
func onlyThis(name string) string { return "^" + strings.ReplaceAll(name, "/", "$/^") + "$" }

// serveShortOfThreads is the part of the case that runs in the other process.
func serveShortOfThreads(h *harness) {
	const limit, left, clients = 320, 70, 60
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		h.Fatalf("%v", err)
	}
	began := time.Now()
	var log bytes.Buffer
	r := h.open(func(s *settings) {
		s.room.MaxClients, s.room.MaxPending = clients, clients
		s.room.Authenticator = authFunc(func(l *core.Login) { go l.Answer(nil) })
		s.net.Log, s.net.Linger = slog.New(slog.NewTextHandler(&log, nil)), time.Second
	})
	alice := r.login("alice")
	give := takeThreads(limit - left)
	served, turnedAway := 1, 0
	var all []net.Conn
	for range clients - served {
		all = append(all, r.dialPlain())
	}
	goOn := r.holdChildren()
	for i, conn := range all {
		defer conn.Close()
		if i%3 == 0 && r.backend.PerClient == backends.OwnProcess {
			time.Sleep(60 * time.Millisecond) // until it counts again what is left
		}
		askAdmission(conn)
	}
	goOn()
	for _, conn := range all {
		if r.admitted(conn) {
			served++
		} else {
			turnedAway++
		}
	}
	if own := r.backend.PerClient != ""; own && (served < 3 || turnedAway < clients/3) || !own && turnedAway > 0 {
		r.Errorf("%d clients served and %d turned away", served, turnedAway)
	}
	r.eventually(func() bool { return r.counters.NoDescriptors.Load() == int64(turnedAway) },
		"%d are counted as turned away: %d", turnedAway, func() int { return int(r.counters.NoDescriptors.Load()) })
	if n := r.room.Snapshot().Logins; n != uint64(served) {
		r.Errorf("%d clients were let in, and %d of them served", n, served)
	}
	alice.say("still here")
	alice.expectChat("alice: still here")
	give()
	r.eventually(func() bool {
		conn, in := r.tryAdmission()
		conn.Close()
		return in || r.room.Snapshot().Clients == clients
	}, "somebody is let in again")
	alice.hangUp()
	r.close()
	often := clients/2 + 4*int(time.Since(began).Seconds())
	if lines := strings.Count(log.String(), "\n"); lines > often || lines == 0 && turnedAway > 0 {
		r.Errorf("%d log lines for %d clients turned away", lines, turnedAway)
	}
}

// holdChildren stops each process that the transport has started, or starts, as soon as its program runs,
// until goOn is called: on a busy machine it may take them seconds to start their threads. If this process
// dies meanwhile, the kernel ends them (setpgid(2): orphaned process groups).
func (r *rig) holdChildren() (goOn func()) {
	if r.backend.PerClient != backends.OwnProcess {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	held := map[string]bool{} // false: of somebody else
	go func() {
		defer close(ended)
		for {
			hold(held)
			select {
			case <-quit:
				for pid, stopped := range held {
					if n, err := strconv.Atoi(pid); stopped && err == nil {
						_ = unix.Kill(n, unix.SIGCONT)
					}
				}
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// hold stops the other processes of this user that run a program of their own and are not in held yet, and
// enters them there.
func hold(held map[string]bool) {
	ours, _ := os.ReadFile("/proc/self/cmdline")
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if _, seen := held[name]; seen || err != nil || pid == os.Getpid() {
			continue
		}
		var who unix.Stat_t
		if unix.Stat("/proc/"+name, &who) != nil || int(who.Uid) != os.Getuid() {
			held[name] = false
			continue
		}
		if line, _ := os.ReadFile("/proc/" + name + "/cmdline"); len(line) > 0 && !bytes.Equal(line, ours) {
			held[name] = unix.Kill(pid, unix.SIGSTOP) == nil
		}
	}
}

// tryAdmission connects and logs in, and says whether the client was let in.
func (r *rig) tryAdmission() (net.Conn, bool) {
	conn := r.dialPlain()
	askAdmission(conn)
	return conn, r.admitted(conn)
}

// dialPlain connects. Whoever is turned away may see the end of it at any time.
func (r *rig) dialPlain() net.Conn {
	conn, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		r.Fatalf("dial: %v", err)
	}
	conn.SetDeadline(time.Now().Add(r.timeout))
	return conn
}

// askAdmission logs in.
func askAdmission(conn net.Conn) {
	_, _ = conn.Write(wire.AppendCred(nil, fmt.Sprint("c", conn.LocalAddr().(*net.TCPAddr).Port), "x"))
}

// admitted waits for the answer, and says whether the client was let in and is served.
func (r *rig) admitted(conn net.Conn) bool {
	granted := []byte("\x01" + wire.Granted + "\x00")
	got := make([]byte, len(granted))
	if _, err := io.ReadFull(conn, got); os.IsTimeout(err) {
		r.Fatalf("no answer to a login: %v", err)
	}
	return bytes.Equal(got, granted)
}

// takeThreads starts threads until this process has n. give ends them.
func takeThreads(n int) (give func()) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		panic(err)
	}
	have := func() int {
		tasks, _ := os.ReadDir("/proc/self/task")
		return len(tasks)
	}
	for have() < n {
		up := make(chan struct{})
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			close(up)
			_, _ = unix.Read(pipe[0], make([]byte, 1))
		}()
		<-up
	}
	return func() { _ = unix.Close(pipe[1]) }
}
