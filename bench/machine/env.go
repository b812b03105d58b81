package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"chatbench/bench/record"
)

// sysctls that change what a chat server costs or where it ends.
var sysctls = []string{
	"net/core/somaxconn", "net/core/rmem_max", "net/core/wmem_max", "net/core/netdev_max_backlog",
	"net/core/busy_poll", "net/core/busy_read",
	"net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem", "net/ipv4/tcp_mem", "net/ipv4/tcp_max_syn_backlog",
	"net/ipv4/tcp_notsent_lowat", "net/ipv4/tcp_autocorking", "net/ipv4/ip_local_port_range",
	"kernel/sched_autogroup_enabled", "kernel/numa_balancing", "kernel/randomize_va_space",
	"vm/overcommit_memory", "vm/swappiness", "fs/file-max", "fs/pipe-user-pages-soft",
}

// Env reads the machine. What cannot be read is left out.
func Env() record.Env {
	e := record.Env{
		Schema:           record.Schema,
		OS:               runtime.GOOS + "/" + runtime.GOARCH,
		Go:               runtime.Version(),
		Kernel:           line("/proc/sys/kernel/osrelease") + " " + line("/proc/sys/kernel/version"),
		CommandLine:      line("/proc/cmdline"),
		ClockSource:      line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		Congestion:       line("/proc/sys/net/ipv4/tcp_congestion_control"),
		PerfParanoid:     line("/proc/sys/kernel/perf_event_paranoid"),
		LoadAverage:      line("/proc/loadavg"),
		Governor:         line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		TransparentPages: line("/sys/kernel/mm/transparent_hugepage/enabled"),
		TickHz:           100,
		StealBefore:      StealTicks(),
		Sysctls:          make(map[string]string),
		Mitigations:      make(map[string]string),
	}
	e.Host, _ = os.Hostname()
	if cpus, err := Allowed(); err == nil {
		e.CPUs = len(cpus)
		for _, c := range cpus {
			e.Siblings = append(e.Siblings, fmt.Sprintf("%d: %s", c, FormatCPUs(siblings(c))))
		}
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		e.OpenFiles = limit.Cur
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		e.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	cpuInfo(&e)
	for _, name := range sysctls {
		if v := line("/proc/sys/" + name); v != "" {
			e.Sysctls[strings.ReplaceAll(name, "/", ".")] = v
		}
	}
	files, _ := filepath.Glob("/sys/devices/system/cpu/vulnerabilities/*")
	for _, f := range files {
		e.Mitigations[filepath.Base(f)] = line(f)
	}
	return e
}

// cpuInfo takes model, clock rates and the hypervisor flag from /proc/cpuinfo.
func cpuInfo(e *record.Env) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, v, _ := strings.Cut(lines.Text(), ":")
		v = strings.TrimSpace(v)
		switch strings.TrimSpace(key) {
		case "model name", "Model":
			e.CPU = v
		case "cpu MHz":
			if mhz, err := strconv.ParseFloat(v, 64); err == nil {
				e.CPUMHz = append(e.CPUMHz, mhz)
			}
		case "flags":
			e.Hypervisor = strings.Contains(" "+v+" ", " hypervisor ")
		}
	}
}

// StealTicks is what the hypervisor has taken from all CPUs since boot, in
// ticks of 10 ms.
func StealTicks() int64 {
	fields := strings.Fields(line("/proc/stat"))
	if len(fields) < 9 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[8], 10, 64)
	return n
}

// line is the first line of a small file, with single spaces; "" if there is none.
func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.Join(strings.Fields(first), " ")
}
