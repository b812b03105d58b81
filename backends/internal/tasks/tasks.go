// Package tasks computes how many more threads and processes this process and its children may start,
// for transports that need some for each client. Linux calls both tasks, and counts them together.
//
// Trying is not possible: if Go's runtime cannot start a thread, it ends the process. So the package
// counts the tasks in use and compares them with each limit. The count cannot be exact: other
// processes start tasks at the same time, and tasks of other containers are not visible. So callers
// keep a margin.
//
// The package does not start tasks. Any goroutine may call Left and Threads; a Budget belongs to one.
package tasks

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	runtimeMax   = 10_000 // threads, at which Go's runtime ends the process
	reservedPIDs = 300    // PIDs that the kernel does not use again
)

// Left returns how many more tasks may be started, and which limit says so. threads says that they are
// threads of this process: Go's runtime allows it 10,000. The number may be negative. Counting the
// tasks of a user takes long if there are many processes; if enough are left in any case, Left does
// not do that, and the number may then be too low.
func Left(enough int, threads bool) (left int, by string) {
	self := status("self")
	left, by = math.MaxInt32, "nothing"
	if threads {
		left, by = runtimeMax-self.threads, "Go's runtime"
	}
	lower := func(n int, what string) {
		if n < left {
			left, by = n, what
		}
	}
	for _, dir := range cgroups("/proc/self/cgroup") {
		most, limited := number(dir + "/pids.max")
		if now, ok := number(dir + "/pids.current"); ok && limited {
			lower(most-now, dir+"/pids.max")
		}
	}
	all, counted := systemTasks()
	if counted {
		if most, ok := number("/proc/sys/kernel/threads-max"); ok {
			lower(most-all, "/proc/sys/kernel/threads-max")
		}
		if most, ok := number("/proc/sys/kernel/pid_max"); ok {
			lower(most-reservedPIDs-all, "/proc/sys/kernel/pid_max")
		}
	}
	if most, ok := userLimit(self); ok {
		if !counted || most-all < enough { // a user has no more tasks than the system
			all = userTasks(self.uid)
		}
		lower(most-all, "ulimit -u")
	}
	return left, by
}

// userLimit returns RLIMIT_NPROC, or false if it does not apply to this process.
func userLimit(self process) (int, bool) {
	const exempt = 1<<unix.CAP_SYS_RESOURCE | 1<<unix.CAP_SYS_ADMIN
	if initialNamespace() && (self.uid == 0 || self.capabilities&exempt != 0) {
		return 0, false
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur > 1<<30 {
		return 0, false
	}
	return int(limit.Cur), true
}

// initialNamespace says whether this process is in the initial user namespace. In another one
// RLIMIT_NPROC applies to root too.
func initialNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err != nil || len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
}

// process is a part of /proc/PID/status.
type process struct {
	uid          int // the real one
	threads      int
	capabilities uint64
}

func status(pid string) (p process) {
	p.uid = -1
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return p // it has ended
	}
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch first := string(fields[0]); string(key) {
		case "Uid":
			p.uid, _ = strconv.Atoi(first)
		case "Threads":
			p.threads, _ = strconv.Atoi(first)
		case "CapEff":
			p.capabilities, _ = strconv.ParseUint(first, 16, 64)
		}
	}
	return p
}

// Threads returns how many threads a process has, 0 if it has ended.
func Threads(pid int) int { return status(strconv.Itoa(pid)).threads }

// userTasks counts the tasks of a user.
func userTasks(uid int) (n int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if p := status(name); p.uid == uid {
			n += p.threads
		}
	}
	return n
}

// systemTasks returns how many tasks the system has, including other containers: the number after the
// slash in /proc/loadavg.
func systemTasks() (int, bool) {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 4 {
		return 0, false
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, err := strconv.Atoi(all)
	return n, err == nil
}

// cgroups returns the directories that may limit the tasks of a process: of its cgroup and of all
// cgroups above, in the unified hierarchy and in the older one.
func cgroups(of string) (dirs []string) {
	f, err := os.Open(of)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, line, _ := strings.Cut(lines.Text(), ":")
		controllers, group, _ := strings.Cut(line, ":")
		root := "/sys/fs/cgroup"
		switch controllers {
		case "":
		case "pids":
			root = "/sys/fs/cgroup/pids"
		default:
			continue
		}
		for {
			dirs = append(dirs, path.Join(root, group))
			if group == "/" || group == "." || group == "" {
				break
			}
			group = path.Dir(group)
		}
	}
	return dirs
}

// number reads a file that contains one number. It returns false if it contains "max".
func number(file string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return n, err == nil
}
