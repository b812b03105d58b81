package meter

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits are the cgroups with a CPU limit (a quota of CPU time in each period) that this process, and with it
// the server that it starts, is in: its own and those above it, as far as they can be
// seen from here. They are named by their directories. In a group that has used up its quota
// nothing runs until the next period: it is throttled.
type Limits []string

// FindLimits finds them below a root directory, which is / except in tests. There are none if
// nothing is limited, or if the files that say so cannot be read. A limit that is set later
// is not noticed.
func FindLimits(root string) (l Limits) {
	own, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	mounts, _ := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	for line := range strings.Lines(string(mounts)) {
		mount, kind, _ := strings.Cut(line, " - ") // 31 23 0:28 ROOT POINT rw,relatime shared:9 - TYPE cgroup rw,cpu
		filesystem, _, _ := strings.Cut(kind, " ")
		at := strings.Fields(mount)
		group, ok := groupOf(string(own), filesystem)
		if !ok || len(at) < 5 {
			continue
		}
		top := filepath.Join(root, at[4])
		for dir := groupDir(top, at[3], group); ; dir = filepath.Dir(dir) {
			if limited(dir) {
				l = append(l, dir)
			}
			if dir == top {
				break
			}
		}
	}
	return l
}

// groupOf finds, in the text of /proc/self/cgroup, the group in the hierarchy that a type of file system
// shows: that of version 2, or the one of version 1 that has the CPU controller. The other hierarchies of
// version 1 have no files about a CPU limit.
func groupOf(own, filesystem string) (group string, ok bool) {
	for line := range strings.Lines(own) {
		field := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // 4:cpu,cpuacct:/some/group
		if len(field) < 3 {
			continue
		}
		hasCPU := slices.Contains(strings.Split(field[1], ","), "cpu")
		if filesystem == "cgroup2" && field[1] == "" || filesystem == "cgroup" && hasCPU {
			return field[2], true
		}
	}
	return "", false
}

// groupDir is the directory of a group where a part of the hierarchy, from a root on, is mounted at top. A
// group that is not in that part, as in some containers, has its nearest visible relative
// at top.
func groupDir(top, root, group string) string {
	below, err := filepath.Rel(root, group)
	if err != nil || !filepath.IsLocal(below) || strings.HasPrefix(group, "/..") {
		return top
	}
	dir := filepath.Join(top, below)
	if _, err := os.Stat(dir); err != nil {
		return top
	}
	return dir
}

// limited says whether a group has a limit, and tells how long it was throttled.
func limited(dir string) bool {
	most, err := os.ReadFile(filepath.Join(dir, "cpu.max")) // "max 100000" or "50000 100000"
	has := err == nil && !bytes.HasPrefix(most, []byte("max"))
	if err != nil { // version 1
		quota, _ := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
		us, err := strconv.ParseInt(string(bytes.TrimSpace(quota)), 10, 64)
		has = err == nil && us > 0
	}
	_, ok := throttledFor(dir)
	return has && ok
}

// throttledFor is how long a group has been throttled, in nanoseconds, summed over CPUs. A CPU on which nothing
// of the group wants to run is not throttled.
func throttledFor(dir string) (ns int64, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, false
	}
	if us, ok := value(text, "throttled_usec"); ok {
		return us * int64(time.Microsecond), true
	}
	return value(text, "throttled_time") // version 1
}

// read is how long each group has been throttled; nil if there is no limit, or one cannot be read.
func (l Limits) read() map[string]int64 {
	if len(l) == 0 {
		return nil
	}
	all := make(map[string]int64, len(l))
	for _, dir := range l {
		ns, ok := throttledFor(dir)
		if !ok {
			return nil
		}
		all[dir] = ns
	}
	return all
}

// throttled is the share of the time of the CPUs in use for which a limit kept from them what wanted to
// run there, by the group that was throttled the longest. What is in the group besides server and
// generator may have been throttled on other CPUs: a result above 1 is set to 1.
func (m *Meter) throttled(before, after Sample) (share float64) {
	cpus := slices.Sorted(slices.Values(slices.Concat(m.ServerCPUs, m.OtherCPUs)))
	total := after.At.Sub(before.At) * time.Duration(len(slices.Compact(cpus)))
	if total <= 0 {
		return 0
	}
	for dir, ns := range after.throttled {
		share = max(share, float64(ns-before.throttled[dir])/float64(total))
	}
	return min(share, 1)
}
