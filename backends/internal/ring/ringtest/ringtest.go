// Package ringtest tests a transport that needs io_uring on a system that forbids it. The
// transport's test file has two lines, beside its TestConformance:
//
//	func TestMain(m *testing.M)       { ringtest.Main(m) }
//	func TestForbidden(t *testing.T) { ringtest.Forbidden(t, Backend) }
//
// It forbids nothing to the process that runs the tests: it runs them again in a process of their
// own. Forbidden is called from a test's own goroutine.
package ringtest

import (
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

// forbidVariable is an environment variable: the errno with which io_uring_setup fails in this process.
const forbidVariable = "CHATBENCH_TEST_FORBID_IO_URING"

// Main runs the tests of a package, without io_uring in the processes that Forbidden starts.
func Main(m *testing.M) {
	if text := os.Getenv(forbidVariable); text != "" {
		errno, err := strconv.Atoi(text)
		if err == nil {
			err = forbid(unix.Errno(errno))
		}
		if err != nil {
			os.Stdout.WriteString("no filter: " + err.Error() + "\n")
			os.Exit(3)
		}
	}
	os.Exit(m.Run())
}

// forbid makes io_uring_setup(2) fail until this process ends, as a seccomp filter of a container does.
func forbid(errno unix.Errno) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		return failed
	}
	return nil
}

// Forbidden checks that where io_uring is forbidden the suite is skipped by name, with the reason,
// and a server does not start for the same reason.
func Forbidden(t *testing.T, b backends.Backend) {
	if os.Getenv(forbidVariable) != "" {
		doesNotStart(t, b)
		return
	}
	for errno, reason := range map[unix.Errno]string{
		unix.EPERM:  "seccomp filter forbids io_uring",
		unix.ENOSYS: "has no io_uring",
	} {
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^(TestConformance|"+t.Name()+")$")
		cmd.Env = append(os.Environ(), forbidVariable+"="+strconv.Itoa(int(errno)))
		out, err := cmd.CombinedOutput()
		text := string(out)
		if strings.Contains(text, "no filter: ") {
			t.Skip(text)
		}
		if err != nil {
			t.Errorf("%v: the tests fail: %v\n%s", errno, err, text)
		}
		for _, want := range []string{"--- SKIP: TestConformance", b.Name + " cannot run on this machine", reason, "--- PASS: " + t.Name()} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: the tests do not say %q:\n%s", errno, want, text)
			}
		}
	}
}

// doesNotStart checks, in a process that Forbidden starts, that there is no server.
func doesNotStart(t *testing.T, b backends.Backend) {
	why := b.Runs()
	if why == nil {
		t.Fatal("the transport thinks that it can run")
	}
	cfg := backends.Config{
		Listen: "127.0.0.1:0", Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
		Room:       core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()}),
		MaxClients: 10, Backlog: 10, Linger: time.Second,
	}
	s, err := b.Start(cfg)
	if err == nil {
		t.Fatalf("it runs on %v", s.Addr())
	}
	if !strings.HasSuffix(err.Error(), why.Error()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Start says %q, and the list %q", err, why)
	}
	cfg.Listen = "127.0.0.1:99999"
	if _, err := b.Start(cfg); err == nil || strings.Contains(err.Error(), why.Error()) {
		t.Errorf("if listening fails too, Start says %v, and all transports say that first", err)
	}
}
