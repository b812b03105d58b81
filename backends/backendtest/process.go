package backendtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// processTree gives the ids of this process and all its descendants.
func processTree() []int {
	tree := []int{os.Getpid()}
	for i := 0; i < len(tree); i++ {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", tree[i]))
		for _, task := range tasks {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", tree[i], task.Name()))
			for _, child := range strings.Fields(string(children)) {
				if pid, err := strconv.Atoi(child); err == nil {
					tree = append(tree, pid)
				}
			}
		}
	}
	return tree
}

// descriptors counts the open descriptors of this process.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// eachSocket calls look with a duplicate of each socket of a process. It returns an error if
// this machine does not allow that for another process, as most containers do not.
func eachSocket(pid int, look func(fd int)) error {
	duplicate := func(n int) (int, error) { return unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0) }
	if pid != os.Getpid() {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			return nil
		} else if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		duplicate = func(n int) (int, error) { return unix.PidfdGetfd(pidfd, n, 0) }
	}
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		n, err := strconv.Atoi(e.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := duplicate(n)
		if err == unix.EPERM || err == unix.ENOSYS {
			return err
		} else if err == nil {
			look(fd)
			unix.Close(fd)
		}
	}
	return nil
}

// takeAllDescriptors lowers the file limit to a little above what is in use, and uses up
// the rest. free undoes both; later calls of it do nothing.
func takeAllDescriptors() (free func(), err error) {
	var taken []int
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		return func() {}, err
	}
	free = sync.OnceFunc(func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	})
	highest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return free, err
	}
	taken = append(taken, highest)
	lowered := unix.Rlimit{Cur: uint64(highest) + 16, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		return free, err
	}
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err == unix.EMFILE {
			return free, nil
		}
		if err != nil {
			return free, err
		}
		taken = append(taken, fd)
	}
}

// leaveDescriptors lowers the file limit so that n more descriptors can be opened, if
// those in use have the lowest numbers. restore undoes that.
func leaveDescriptors(n int) (restore func(), err error) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		return nil, err
	}
	lowest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	unix.Close(lowest)
	lowered := unix.Rlimit{Cur: uint64(lowest + n), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		return nil, err
	}
	return func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }, nil
}
