package uring

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidVariable is an environment variable: the errno with which io_uring_setup fails in this process.
const forbidVariable = "CHATBENCH_TEST_FORBID_IO_URING"

func TestMain(m *testing.M) {
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

// TestForbidden: where io_uring is forbidden the suite is skipped by name, with the reason,
// and a server does not start for the same reason.
func TestForbidden(t *testing.T) {
	if os.Getenv(forbidVariable) != "" {
		t.Skip("this is the process in which it is forbidden")
	}
	for errno, reason := range map[unix.Errno]string{
		unix.EPERM:  "seccomp filter forbids io_uring",
		unix.ENOSYS: "has no io_uring",
	} {
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^(TestConformance|TestForbiddenStart)$")
		cmd.Env = append(os.Environ(), forbidVariable+"="+strconv.Itoa(int(errno)))
		out, err := cmd.CombinedOutput()
		text := string(out)
		if strings.Contains(text, "no filter: ") {
			t.Skip(text)
		}
		if err != nil {
			t.Errorf("%v: the tests fail: %v\n%s", errno, err, text)
		}
		for _, want := range []string{"--- SKIP: TestConformance", "uring cannot run on this machine", reason, "--- PASS: TestForbiddenStart"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: the tests do not say %q:\n%s", errno, want, text)
			}
		}
	}
}

// TestForbiddenStart runs in the processes of TestForbidden.
func TestForbiddenStart(t *testing.T) {
	if os.Getenv(forbidVariable) == "" {
		t.Skip("TestForbidden runs it")
	}
	why := Backend.Runs()
	if why == nil {
		t.Fatal("the transport thinks that it can run")
	}
	s, err := start(testConfig())
	if err == nil {
		t.Fatalf("it runs on %v", s.Addr())
	}
	if !strings.HasSuffix(err.Error(), why.Error()) {
		t.Errorf("Start says %q, and the list %q", err, why)
	}
}
