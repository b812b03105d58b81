package meter

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/bench/record"
)

// calls is how many system calls the child makes, and so does its own child.
const calls = 50_000

// TestMain is also the measured child: after a line on stdin it makes its
// calls, on a thread of its own, has a child make as many, and reports it.
func TestMain(m *testing.M) {
	switch os.Getenv("METER_CHILD") {
	case "":
		os.Exit(m.Run())
	case "parent":
		in := bufio.NewReader(os.Stdin)
		fmt.Println("ready")
		if _, err := in.ReadString('\n'); err != nil {
			os.Exit(1)
		}
		work()
		grandchild := exec.Command("/proc/self/exe")
		grandchild.Env = append(os.Environ(), "METER_CHILD=leaf")
		grandchild.Stdout = os.Stdout
		hold, err := grandchild.StdinPipe()
		if err != nil || grandchild.Start() != nil {
			os.Exit(1)
		}
		in.ReadString('\n') // the test ends
		hold.Close()
		grandchild.Wait()
	case "leaf":
		work()
		fmt.Println("done")
		io.Copy(io.Discard, os.Stdin)
	}
}

// work makes the calls on a thread that did not exist before.
func work() {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		for range calls {
			unix.Getppid()
		}
		close(done)
	}()
	<-done
}

// measured starts the child, reads the counters before and after its work, and returns what it used.
func measured(t *testing.T, withCounters bool) (*Meter, record.Usage) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := &Meter{ServerCPUs: []int{0}}
	if withCounters {
		m.Counters = OpenCounters(true)
		t.Cleanup(m.Counters.Close)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "METER_CHILD=parent", "GORACE=atexit_sleep_ms=0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	m.Root = cmd.Process.Pid
	if !lines.Scan() {
		t.Fatal("the child said nothing")
	}
	before, from := m.ReadAll(), m.ReadCounters()
	fmt.Fprintln(in)
	if !lines.Scan() || lines.Text() != "done" {
		t.Fatal("the child's child did nothing")
	}
	to, after := m.ReadCounters(), m.ReadAll()
	if !after.At.After(before.At) {
		t.Error("no time passed")
	}
	return m, m.Between(from, to, before, after)
}

func TestCountersSeeTheTree(t *testing.T) {
	m, u := measured(t, true)
	for what, why := range m.Counters.why {
		if why != nil {
			t.Skipf("counter %d is not allowed here: %v", what, why)
		}
	}
	// Two processes made calls; the rest is the runtime starting up.
	if got := *u.Syscalls; got < 2*calls || got > 2*calls+15_000 {
		t.Errorf("%d system calls, made %d and a few", got, 2*calls)
	}
	if *u.CPU <= 0 || *u.CPU != *u.CPUUser+*u.CPUKernel || *u.CPUUser < 0 || *u.CPUKernel < 0 {
		t.Errorf("cpu %d = user %d + kernel %d", *u.CPU, *u.CPUUser, *u.CPUKernel)
	}
	if *u.ContextSwitches < 1 {
		t.Error("two processes worked and waited without a context switch")
	}
	if u.Steal == nil || *u.Steal < 0 || *u.Steal > 1 || u.Foreign == nil || *u.Foreign < 0 || *u.Foreign > 1 {
		t.Errorf("steal %v, foreign %v", u.Steal, u.Foreign)
	}
	m.ReadMemory(&u)
	if u.Processes != 2 || u.Threads < 4 {
		t.Errorf("%d processes, %d threads; there are 2 Go processes", u.Processes, u.Threads)
	}
	if *u.RSS < 1<<20 || *u.RSSPeak < *u.RSS/2 || *u.PSS > *u.RSS || *u.PSS <= 0 {
		t.Errorf("rss %d, peak %d, pss %d", *u.RSS, *u.RSSPeak, *u.PSS)
	}
}

func TestWithoutCounters(t *testing.T) {
	_, u := measured(t, false)
	if u.Syscalls != nil {
		t.Error("system calls without a counter")
	}
	if u.CPU == nil || *u.ContextSwitches < 1 {
		t.Errorf("cpu %v, context switches %v", u.CPU, u.ContextSwitches)
	}
	if *u.CPU%tick != 0 {
		t.Errorf("%d ns is no number of ticks", *u.CPU)
	}
}

func TestNotes(t *testing.T) {
	c := OpenCounters(false)
	defer c.Close()
	if n := c.Notes(); !strings.HasPrefix(n["syscalls"], "absent: ") {
		t.Errorf("not asked for, but: %q", n["syscalls"])
	}
	if _, ok := c.read(syscalls); ok {
		t.Error("a counter that was not opened counts")
	}
}

func TestParse(t *testing.T) {
	user, system, err := parseTicks([]byte("7 (a) b (c d) S 1 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 5 0"))
	if err != nil || user != 103 || system != 24 {
		t.Errorf("user %d, system %d, %v; want 103, 24", user, system, err)
	}
	if _, _, err := parseTicks([]byte("7 (x) S 1")); err == nil {
		t.Error("a torn stat line passed")
	}
	if n, ok := parseSockstat([]byte("sockets: used 1\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\nUDP: inuse 1 mem 9\n"), 4096); !ok || n != 3*4096 {
		t.Errorf("sockstat %d, %v", n, ok)
	}
	cpus := parseMachineTicks([]byte("cpu  9 9 9 9 9 9 9 9 9 9\ncpu1 1 2 4 8 16 32 64 128 1 0\nintr 5\n"))
	if c := cpus[1]; len(cpus) != 1 || c != (cpuTicks{idle: 8 + 16, steal: 128, total: 255}) {
		t.Errorf("%+v", cpus)
	}
	share := stolen(Sample{machine: map[int]cpuTicks{1: {}}}, Sample{machine: cpus}, []int{0, 1})
	if share != 128.0/255 {
		t.Errorf("stolen %v", share)
	}
	if n, ok := value([]byte("VmPeak:\t 9 kB\nVmHWM:\t  12 kB\n"), "VmHWM:"); !ok || n != 12 {
		t.Errorf("VmHWM %d, %v", n, ok)
	}
}

// TestForeign: time that is not idle, not stolen and not the server's belongs to other processes,
// whatever the tick saw of it; if the run time of all tasks is known, only
// their run time does, and the rest is not charged.
func TestForeign(t *testing.T) {
	at := time.Now()
	m := &Meter{ServerCPUs: []int{0, 1}}
	before := Sample{At: at, cpu: 5, machine: map[int]cpuTicks{0: {idle: 100, steal: 1}, 1: {idle: 7}}}
	for _, c := range []struct {
		idle, stolen int64 // ticks of the first CPU; the second is idle
		own, ran     time.Duration
		want, nobody float64
	}{
		{100, 0, 0, 0, 0, 0},                                                        // of a second each
		{60, 0, 300 * time.Millisecond, 0, 0.1 / 2, 0},                              // 40 busy, 30 the server's
		{60, 10, 300 * time.Millisecond, 0, 0, 0},                                   // the rest was stolen
		{60, 0, 450 * time.Millisecond, 0, 0, 0},                                    // finer than ticks
		{0, 0, 0, 0, 0.5, 0},                                                        // all of one CPU
		{60, 0, 300 * time.Millisecond, 300 * time.Millisecond, 0, 0.1 / 2},         // nobody else ran
		{60, 0, 300 * time.Millisecond, 380 * time.Millisecond, 0.08 / 2, 0.02 / 2}, // somebody did
		{60, 10, 300 * time.Millisecond, 300 * time.Millisecond, 0, 0},              // the rest was stolen
		{60, 0, 300 * time.Millisecond, 299 * time.Millisecond, 0, 0.1 / 2},         // two clocks
		{60, 0, 300 * time.Millisecond, 450 * time.Millisecond, 0.15 / 2, 0},        // ticks
		{0, 0, 300 * time.Millisecond, time.Second, 0.7 / 2, 0},                     // others took what was left
		{0, 0, 0, 2010 * time.Millisecond, 1, 0},                                    // a tick of what ran before is in it
	} {
		before, after := before, Sample{At: at.Add(time.Second), cpu: 5 + int64(c.own), machine: map[int]cpuTicks{0: {idle: 100 + c.idle, steal: 1 + c.stolen}, 1: {idle: 107}}}
		told := c.ran > 0
		before.ran, before.ranOK, after.ran, after.ranOK = 3, told, 3+int64(c.ran), told
		got, nobody := m.foreign(before, after)
		if math.Abs(got-c.want) > 1e-9 || (nobody != nil) != told || told && math.Abs(*nobody-c.nobody) > 1e-9 {
			t.Errorf("%+v: %v, nobody %v", c, got, nobody)
		}
	}
}

// TestSum: the sum of pieces is their total, and what happens between them
// is not in it.
func TestSum(t *testing.T) {
	at, m := time.Now(), &Meter{ServerCPUs: []int{0}}
	sample := func(ms int64, cpu, user, idle int64) Sample {
		return Sample{At: at.Add(time.Duration(ms) * time.Millisecond), cpu: cpu, switches: cpu, syscalls: cpu, callsOK: true,
			user: user, system: user, machine: map[int]cpuTicks{0: {idle: idle, steal: idle / 10, total: ms / 10}}}
	}
	var s Sum
	s.Add(sample(10, 1e6, 0, 0), sample(110, 51e6, 0, 0), sample(0, 0, 0, 100), sample(120, 60e6, 15e6, 105))
	s.Add(sample(1010, 91e6, 0, 0), sample(1110, 101e6, 0, 0), sample(1000, 90e6, 30e6, 190), sample(1080, 110e6, 35e6, 195))
	u := m.Usage(&s)
	// 50 + 10 ms between edges; of 60 + 20 ms in all a quarter is user.
	if *u.CPU != 60e6 || *u.Syscalls != 60e6 || *u.ContextSwitches != 60e6 || *u.CPUUser != 15e6 || *u.CPUKernel != 45e6 {
		t.Errorf("cpu %d, user %d, kernel %d, %d calls, %d switches", *u.CPU, *u.CPUUser, *u.CPUKernel, *u.Syscalls, *u.ContextSwitches)
	}
	if u.Uncharged != nil {
		t.Errorf("the run time is not known, but uncharged is %v", *u.Uncharged)
	}
	ran := func(s Sample, ns int64) Sample {
		s.ran, s.ranOK = ns, true
		return s
	}
	var told Sum
	told.Add(sample(10, 1e6, 0, 0), sample(110, 51e6, 0, 0), ran(sample(0, 0, 0, 100), 7e6), ran(sample(120, 60e6, 15e6, 105), 75e6))
	told.Add(sample(1010, 91e6, 0, 0), sample(1110, 101e6, 0, 0), ran(sample(1000, 90e6, 30e6, 190), 200e6), ran(sample(1080, 110e6, 35e6, 195), 222e6))
	// Of the 100 ms that are not idle 90 ran, 80 of them the server's.
	if u := m.Usage(&told); u.Uncharged == nil || math.Abs(*u.Uncharged-0.05) > 1e-9 || math.Abs(*u.Foreign-0.05) > 1e-9 {
		t.Errorf("uncharged %v, foreign %v", u.Uncharged, *u.Foreign)
	}
	// 200 ms, idle for 100, the server for 80.
	if math.Abs(*u.Foreign-0.1) > 1e-9 || *u.Steal != 0 {
		t.Errorf("foreign %v, steal %v", *u.Foreign, *u.Steal)
	}
}

// TestSumOfParts: a figure that is missing in any piece is missing in the sum.
func TestSumOfParts(t *testing.T) {
	at, m := time.Now(), &Meter{ServerCPUs: []int{0}}
	type lack struct{ from, to, before, after Sample }
	whole := func(ms int64) Sample {
		return Sample{At: at.Add(time.Duration(ms) * time.Millisecond), cpu: ms, syscalls: ms, callsOK: true, ran: ms, ranOK: true, machine: map[int]cpuTicks{0: {total: ms}},
			throttled: map[string]int64{"a": ms * int64(time.Millisecond) / 4}}
	}
	for name, spoil := range map[string]func(*lack){
		"":              func(*lack) {},
		"calls, from":   func(l *lack) { l.from.callsOK = false },
		"calls, to":     func(l *lack) { l.to.callsOK = false },
		"ran, before":   func(l *lack) { l.before.ranOK = false },
		"ran, after":    func(l *lack) { l.after.ranOK = false },
		"ticks, before": func(l *lack) { l.before.machine = nil },
		"ticks, after":  func(l *lack) { l.after.machine = nil },
		"limit, before": func(l *lack) { l.before.throttled = nil },
		"limit, after":  func(l *lack) { l.after.throttled = nil },
	} {
		for spoiled := range int64(3) {
			var s Sum
			for piece := range int64(3) {
				begin := 1000 * piece
				l := lack{whole(begin + 10), whole(begin + 90), whole(begin), whole(begin + 100)}
				if piece == spoiled {
					spoil(&l)
				}
				s.Add(l.from, l.to, l.before, l.after)
			}
			u := m.Usage(&s)
			what, _, _ := strings.Cut(name, ",")
			if *u.CPU != 3*80 || (u.Syscalls == nil) != (what == "calls") || (u.Uncharged == nil) != (what == "ran" || what == "ticks") || (u.Foreign == nil) != (what == "ticks") || (u.Steal == nil) != (what == "ticks") {
				t.Errorf("without %q in piece %d: cpu %d, calls %v, uncharged %v, foreign %v, steal %v", name, spoiled+1, *u.CPU, u.Syscalls, u.Uncharged, u.Foreign, u.Steal)
			}
			if (u.Throttled == nil) != (what == "limit") || u.Throttled != nil && math.Abs(*u.Throttled-0.25) > 1e-9 {
				t.Errorf("without %q in piece %d: throttled %v", name, spoiled+1, u.Throttled)
			}
			if u.Syscalls != nil && *u.Syscalls != 3*80 {
				t.Errorf("%d system calls, made 240", *u.Syscalls)
			}
		}
	}
}
