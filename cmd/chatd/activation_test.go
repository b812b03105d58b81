package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/client"
	"chatbench/cmd/internal/ptytest"
)

// socket is a listening socket as systemd has it: open whether chatd runs or not, and
// with none of the options that chatd wants.
type socket struct {
	file *os.File
	addr string
}

func listen(t *testing.T, address string) socket {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return socket{file, l.Addr().String()}
}

// activate is a chatd that is passed files from descriptor 3 on, as so many sockets with
// these names. LISTEN_PID is its own process, which a shell knows that becomes it.
func activate(count, names string, files []*os.File, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ && export LISTEN_PID && exec chatd "$@"`, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), ptytest.NoWait, "LISTEN_FDS="+count, "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	return cmd
}

// activated is one that serves.
type activated struct {
	*testing.T
	cmd    *exec.Cmd
	first  string // its first line
	rest   *bufio.Reader
	errors output
}

// serve starts a chatd that has been passed sockets, to the end of the test.
func serve(t *testing.T, names string, sockets []socket, args ...string) *activated {
	t.Helper()
	var files []*os.File
	for _, s := range sockets {
		files = append(files, s.file)
	}
	a := &activated{T: t, cmd: activate(fmt.Sprint(len(files)), names, files, args...)}
	a.cmd.Stderr = &a.errors
	out, err := a.cmd.StdoutPipe()
	if err == nil {
		err = a.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.cmd.ProcessState == nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
	})
	a.rest = bufio.NewReader(out)
	if a.first, err = a.rest.ReadString('\n'); err != nil {
		t.Fatalf("chatd said %q: %s", a.first, a.errors.String())
	}
	return a
}

// end ends it in order.
func (a *activated) end() {
	a.Helper()
	if err := a.cmd.Process.Signal(unix.SIGTERM); err != nil {
		a.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, a.rest)
	if err := a.cmd.Wait(); err != nil {
		a.Errorf("chatd ended with %v: %s", err, a.errors.String())
	}
}

// socketName is what the unit in deploy/ names its socket.
func socketName(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile("../../deploy/chatd.socket")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^FileDescriptorName=(\S+)$`).FindSubmatch(unit)
	if found == nil {
		t.Fatal("deploy/chatd.socket names no socket")
	}
	return string(found[1])
}

// Each transport serves the clients of a socket that was passed. One that connects while
// no chatd runs is served by the next.
func TestSocketActivation(t *testing.T) {
	for _, backend := range []string{"epoll", "reactors", "goroutine", "process", "gnet", "evio"} {
		t.Run(backend, func(t *testing.T) {
			s := listen(t, "127.0.0.1:0")
			for _, name := range []string{socketName(t), ""} {
				early := make(chan error, 1)
				go func() { early <- talk(s.addr, "early", "is anybody there?") }()
				a := serve(t, name, []socket{s}, "-open", "-backend", backend, "-listen", "127.0.0.1:1")
				if want := fmt.Sprintf("chatd: %s listening on %s\n", backend, s.addr); a.first != want {
					t.Errorf("chatd said %q, want %q", a.first, want)
				}
				if err := <-early; err != nil {
					t.Errorf("one who came before chatd: %v", err)
				}
				if err := talk(s.addr, "alice", "hello"); err != nil {
					t.Error(err)
				}
				a.end()
			}
		})
	}
}

// Each name is a listener of its own.
func TestPassedPageAndAdmin(t *testing.T) {
	chat, page, admin := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	a := serve(t, "web:admin:chat", []socket{page, admin, chat}, "-open")
	if err := talk(chat.addr, "alice", "hello"); err != nil {
		t.Error(err)
	}
	for url, want := range map[string]string{"http://" + page.addr + "/": "<html", "http://" + admin.addr + "/healthz": "ok\n"} {
		answer, err := (&http.Client{Timeout: patience}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %v: %.100s", url, answer.Status, err, text)
		}
	}
	a.end()
}

// The children of process inherit none of the sockets, or the port would stay taken as
// long as one of them lives.
func TestPassedSocketIsNotInherited(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	inode, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	a := serve(t, "chat", []socket{s}, "-open", "-backend", "process")
	c, err := client.Dial(t.Context(), client.Config{Server: s.addr, User: "alice", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	holds := func(pid string) (found bool) {
		links, _ := filepath.Glob("/proc/" + pid + "/fd/*")
		for _, link := range links {
			to, _ := os.Readlink(link)
			found = found || to == inode
		}
		return found
	}
	if !holds(fmt.Sprint(a.cmd.Process.Pid)) {
		t.Errorf("chatd itself does not hold %s", inode)
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := 0
	for _, stat := range stats {
		text, _ := os.ReadFile(stat) // pid (command) state parent
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) < 2 || f[1] != fmt.Sprint(a.cmd.Process.Pid) {
			continue
		}
		children++
		if pid := filepath.Base(filepath.Dir(stat)); holds(pid) {
			t.Errorf("child %s holds %s", pid, inode)
		}
	}
	if children == 0 {
		t.Error("there is no child")
	}
	c.Close()
	a.end()
}

// What is passed wrongly, or would let everybody in, is one line and no server.
func TestPassedWrongly(t *testing.T) {
	s, exposed := listen(t, "127.0.0.1:0"), listen(t, "0.0.0.0:0")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	for _, c := range []struct {
		count, names, want string
		files              []*os.File
	}{
		{"many", "chat", `chatd: LISTEN_FDS="many": pass 1 to 3 sockets, one for each of chat, web, admin`, []*os.File{s.file}},
		{"2", "chat:web", "chatd: descriptor 4 is not a listening TCP socket: the socket web must be one", []*os.File{s.file, read}},
		{"1", "shat", `chatd: a socket is named "shat": name it chat or web or admin`, []*os.File{s.file}},
		{"1", "chat", "chatd: -open would let everybody on the network in at ", []*os.File{exposed.file}},
	} {
		out, err := activate(c.count, c.names, c.files, "-open").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.HasPrefix(string(out), c.want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s sockets named %q: %v: %s", c.count, c.names, err, out)
		}
	}
	out, err := activate("1", "chat", []*os.File{s.file}, "check", "-open").Output()
	if err != nil || !strings.Contains(string(out), "ok: epoll would listen on "+s.addr+", for ") {
		t.Errorf("the check says %q, %v", out, err)
	}
}
