// Package tasks tells how many more threads and processes this process may
// make, for transports that need some for each client. Linux calls both tasks,
// and counts them alike.
//
// To ask the kernel by trying is not possible: when Go's runtime cannot make a
// thread, it ends the process. So what is in use is counted and compared with
// each limit there is. The count cannot be exact: others make tasks at the same
// time, and those of other containers are not to be seen. Whoever asks keeps a
// margin.
//
// It refuses to make tasks. Left is for any goroutine; a Budget belongs to one.
package tasks

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	runtimeMax   = 10_000 // threads, at which Go's runtime ends the process
	reservedPIDs = 300    // numbers that the kernel gives out only once
)

// Left is how many more tasks this process may make, and which limit says so.
// It may be negative. Counting the tasks of a user takes long where there are
// many processes: that is not done if enough are left in any case, and Left is
// then too low.
func Left(enough int) (left int, by string) {
	self := status("self")
	left, by = runtimeMax-self.threads, "Go's runtime"
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
		if !counted || most-all < enough { // of the user's there are no more than of all
			all = userTasks(self.uid)
		}
		lower(most-all, "ulimit -u")
	}
	return left, by
}

// userLimit is RLIMIT_NPROC; false if it does not hold for this process.
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

// initialNamespace says whether user numbers are those of the whole system. In
// a namespace of its own, root is a user like any other to RLIMIT_NPROC.
func initialNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err != nil || len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
}

// process is what its status tells of a process.
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

// systemTasks is how many tasks there are in all, those of other containers
// included: the number after the slash in loadavg.
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

// cgroups are the directories that may bound the tasks of a process: of its
// cgroup and of all above, of the unified hierarchy and of the older one.
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

// number reads a file that holds one number. One that says "max" holds none.
func number(file string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return n, err == nil
}
