package tasks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// limitVariable is an environment variable that makes this binary print what is left, instead of
// running its tests. Its value is the RLIMIT_NPROC that it sets first.
const limitVariable = "CHATBENCH_TASKS_LEFT"

func TestMain(m *testing.M) {
	if limit, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64); err == nil {
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			panic(err)
		}
		n, by := Left(1, true)
		fmt.Printf("%d by %s\n", n, by)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ask runs another process that prints what is left to it. A shell runs the command first before.
func ask(t *testing.T, uid uint32, limit int, first string) (n int, by string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", first+"\nexec 3<&0; exec /proc/self/fd/3")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd.Stdin = self
	cmd.Env = append(os.Environ(), limitVariable+"="+strconv.Itoa(limit))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	skipIfRefused(t, err)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := fmt.Sscanf(string(out), "%d by ", &n); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	_, by, _ = strings.Cut(strings.TrimSpace(string(out)), " by ")
	return n, by
}

// skipIfRefused skips the test where this root cannot become another user, as in a user namespace that
// has few of them, or where that user cannot run this program.
func skipIfRefused(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip(err)
	}
}

func TestLeft(t *testing.T) {
	n, by := Left(1, true)
	if n <= 0 || by == "" {
		t.Errorf("%d are left by %s", n, by)
	}
	if n > runtimeMax {
		t.Errorf("%d are left, more than Go's runtime allows", n)
	}
	if more, by := Left(1, false); more < n || strings.Contains(by, "runtime") {
		t.Errorf("%d processes are left by %s, and %d threads", more, by, n)
	}
}

// TestUserLimit: what is left of RLIMIT_NPROC counts, except for root.
func TestUserLimit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	uid := uint32(1<<20 + os.Getpid()) // nobody's but ours
	const limit = 100
	sleepers := exec.Command("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; echo; wait")
	sleepers.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setpgid: true}
	ready, err := sleepers.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleepers.Start(); err != nil {
		skipIfRefused(t, err)
		t.Fatal(err)
	}
	defer sleepers.Wait()
	defer syscall.Kill(-sleepers.Process.Pid, syscall.SIGKILL)
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	const inUse = 11 // and the threads of the one that is asked
	if n, by := ask(t, uid, limit, ""); by != "ulimit -u" || n >= limit-inUse || n < limit-inUse-40 {
		t.Errorf("of %d tasks %d are in use, and %d are left by %s", limit, inUse, n, by)
	}
	if n, by := ask(t, 0, limit, ""); by == "ulimit -u" {
		t.Errorf("the limit is not for root, and %d are left by %s", n, by)
	}
}

// TestCgroupLimit: a limit of the cgroup counts, also one level up.
func TestCgroupLimit(t *testing.T) {
	outer := filepath.Join(pidsRoot(), fmt.Sprint("chatbench-test-", os.Getpid()))
	inner := filepath.Join(outer, "inner")
	for _, dir := range []string{outer, inner} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no cgroup can be made: %v", err)
		}
		defer os.Remove(dir)
	}
	const limit = 77
	if err := os.WriteFile(outer+"/pids.max", []byte(fmt.Sprint(limit)), 0o644); err != nil {
		t.Skipf("no limit can be set: %v", err)
	}
	n, by := ask(t, uint32(os.Getuid()), 60000, "echo $$ >"+inner+"/cgroup.procs")
	if by != outer+"/pids.max" || n >= limit || n < limit-40 {
		t.Errorf("%d tasks are allowed, and %d are left by %s", limit, n, by)
	}
}

func pidsRoot() string {
	if _, err := os.Stat("/sys/fs/cgroup/pids"); err == nil {
		return "/sys/fs/cgroup/pids"
	}
	return "/sys/fs/cgroup"
}

// TestBudget: no more tasks are taken than there are, and they are not counted again for each Take.
func TestBudget(t *testing.T) {
	b := Budget{Margin: 10}
	if err := b.Take(2, 0); err != nil {
		t.Errorf("2 tasks: %v", err)
	}
	counted := b.at
	for range 20 {
		if err := b.Take(2, 0); err != nil {
			t.Errorf("2 more: %v", err)
		}
	}
	if b.at != counted && b.at.Sub(counted) < countAge {
		t.Errorf("counted again after %v", b.at.Sub(counted))
	}
	if err := b.Take(1<<20, 0); err == nil || !strings.Contains(err.Error(), b.by) {
		t.Errorf("a million tasks: %v", err)
	}
	if err := b.Take(1, 1<<20); err != nil {
		t.Errorf("1 task after a million in vain: %v", err)
	}
	b = Budget{Margin: 1 << 20}
	if err := b.Take(1, 0); err == nil {
		t.Error("the margin was taken")
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	groups := write("cgroup", "4:memory:/old\n8:pids:/c\n0::/a/b.service\n")
	want := []string{"/sys/fs/cgroup/pids/c", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/a/b.service", "/sys/fs/cgroup/a", "/sys/fs/cgroup"}
	if got := cgroups(groups); !slices.Equal(got, want) {
		t.Errorf("directories %q in place of %q", got, want)
	}
	if got := cgroups(filepath.Join(dir, "none")); got != nil {
		t.Errorf("without cgroups: %q", got)
	}
	if n, ok := number(write("some", "4096\n")); n != 4096 || !ok {
		t.Errorf("read %d, %v", n, ok)
	}
	for _, file := range []string{write("all", "max\n"), filepath.Join(dir, "none")} {
		if n, ok := number(file); ok {
			t.Errorf("%s: read %d, where there is no limit", file, n)
		}
	}
	if n := status("self").threads; n < 1 {
		t.Errorf("this process has %d threads", n)
	}
	threads := status("self").threads
	if n := userTasks(unix.Getuid()); n < threads {
		t.Errorf("this user has %d tasks, this process %d", n, threads)
	}
	if n, ok := systemTasks(); !ok || n < 1 {
		t.Errorf("the system has %d tasks, %v", n, ok)
	}
}
