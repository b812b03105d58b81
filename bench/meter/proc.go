package meter

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, in nanoseconds: 1/100 s on every
// architecture Go and Linux share, whatever the kernel's own tick is.
const tick = int64(time.Second) / 100

// Tree lists a process and its descendants. Children are found through the threads
// that forked them; a kernel built without that list shows the root alone.
func Tree(root int) []int {
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		for _, tid := range threads(pids[i]) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], tid))
			if err != nil {
				continue
			}
			for _, field := range bytes.Fields(text) {
				if pid, err := strconv.Atoi(string(field)); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// Stopped says whether every thread of a process is stopped, as by SIGSTOP. A
// process that has ended counts as stopped.
func Stopped(pid int) bool {
	for _, tid := range threads(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
		end := bytes.LastIndexByte(text, ')')
		if err == nil && end+2 < len(text) && !bytes.ContainsRune([]byte("TtZX"), rune(text[end+2])) {
			return false
		}
	}
	return true
}

// threads lists the thread ids of a process.
func threads(pid int) []int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	tids := make([]int, 0, len(entries))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// treeTicks sums user and system time of the processes, including children that they have
// waited for, in nanoseconds. A process that has just ended is left
// out: its time is in that of its parent.
func treeTicks(pids []int) (user, system int64) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		if u, s, err := parseTicks(text); err == nil {
			user, system = user+u*tick, system+s*tick
		}
	}
	return user, system
}

// parseTicks parses fields 14 to 17 of proc(5)'s stat. The command's name, the
// second, may contain spaces and parentheses: count from the last one.
func parseTicks(stat []byte) (user, system int64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	const utime = 14 - 3 // the first field after the name is the third
	if end < 0 || len(fields) < utime+4 {
		return 0, 0, fmt.Errorf("meter: not a stat line: %q", stat)
	}
	var t [4]int64
	for i := range t {
		if t[i], err = strconv.ParseInt(fields[utime+i], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("meter: %w", err)
		}
	}
	return t[0] + t[2], t[1] + t[3], nil
}

// value finds the number that follows a key such as "VmHWM:" at the beginning
// of a line of status, smaps_rollup or sockstat.
func value(text []byte, key string) (int64, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			fields := bytes.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			n, err := strconv.ParseInt(string(fields[0]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// statusSwitches sums the context switches of all threads of the processes.
func statusSwitches(pids []int) (sum int64) {
	for _, pid := range pids {
		for _, tid := range threads(pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
			if err != nil {
				continue
			}
			voluntary, _ := value(text, "voluntary_ctxt_switches:")
			forced, _ := value(text, "nonvoluntary_ctxt_switches:")
			sum += voluntary + forced
		}
	}
	return sum
}

// SocketMemory is what the TCP sockets of the machine occupy in the kernel, in
// octets; ok is false if /proc/net/sockstat does not say.
func SocketMemory() (octets int64, ok bool) {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, false
	}
	return parseSockstat(text, int64(os.Getpagesize()))
}

// parseSockstat parses "mem" in the line "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3".
func parseSockstat(text []byte, page int64) (octets int64, ok bool) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "mem" {
				pages, err := strconv.ParseInt(fields[i+1], 10, 64)
				return pages * page, err == nil
			}
		}
	}
	return 0, false
}

// cpuTicks is one CPU's line of /proc/stat, in ticks since boot. On a kernel
// without a tick when idle, idle time is measured by the clock. Busy time is
// not: it is what the tick happened to see, and a load of 1,000 messages a
// second shows the tick the same moment of each message.
type cpuTicks struct {
	idle  int64 // and waiting for disks
	steal int64
	total int64
}

// machineTicks reads all CPUs, by number.
func machineTicks() map[int]cpuTicks {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil
	}
	return parseMachineTicks(text)
}

func parseMachineTicks(text []byte) map[int]cpuTicks {
	cpus := make(map[int]cpuTicks)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		number, err := strconv.Atoi(fields[0][len("cpu"):])
		if err != nil {
			continue // the sum of all
		}
		var c cpuTicks
		for i, f := range fields[1:9] { // guest time is in user already
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				break
			}
			c.total += n
			switch i {
			case 3, 4:
				c.idle += n
			case 7:
				c.steal = n
			}
		}
		cpus[number] = c
	}
	return cpus
}
