package thread

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// mostClients have 8,000 threads: Go's runtime ends a process that has more
	// than 10,000, and needs some itself.
	mostClients = 4000
	ownThreads  = 64 // of the runtime, and of everything else in the process
)

// fits is an error if the system does not allow as many threads as so many
// clients take. Without it Go's runtime would end the process when the first
// thread cannot be made.
func fits(clients int) error {
	need := 2*(clients+turnedAway) + ownThreads
	allowed, by := threadLimit()
	if need <= allowed {
		return nil
	}
	return fmt.Errorf("thread: %d clients take up to %d threads, and %s allows %d: allow at most %d clients",
		clients, need, by, allowed, max((allowed-ownThreads)/2-turnedAway, 0))
}

// threadLimit is how many threads this process may have, and what says so.
func threadLimit() (allowed int, by string) {
	allowed, by = 10_000, "Go's runtime"
	lower := func(n int, what string) {
		if n < allowed {
			allowed, by = n, what
		}
	}
	for _, file := range append(cgroupFiles("/proc/self/cgroup"), "/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max") {
		if n, ok := readNumber(file); ok {
			lower(n, file)
		}
	}
	var limit unix.Rlimit
	if os.Geteuid() != 0 && unix.Getrlimit(unix.RLIMIT_NPROC, &limit) == nil && limit.Cur < uint64(allowed) {
		lower(int(limit.Cur), "ulimit -u")
	}
	return allowed, by
}

// cgroupFiles are the files that may bound the number of tasks of a process.
func cgroupFiles(of string) (files []string) {
	f, err := os.Open(of)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		group, ok := strings.CutPrefix(lines.Text(), "0::")
		for ok {
			files = append(files, path.Join("/sys/fs/cgroup", group, "pids.max"))
			ok = group != "/" && group != "."
			group = path.Dir(group)
		}
	}
	return files
}

// readNumber reads a file that holds one number. One that says "max" holds none.
func readNumber(file string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return n, err == nil
}
