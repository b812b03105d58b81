package machine

import (
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	alone := func(c int) []int { return []int{c} }
	pairs := func(c int) []int { return []int{c &^ 1, c | 1} } // 0-1, 2-3, …
	far := func(c int) []int { return []int{c % 4, c%4 + 4} }  // 0,4 1,5 …
	for _, c := range []struct {
		name              string
		allowed           []int
		siblings          func(int) []int
		server, generator []int
		shared            bool
	}{
		{"one", []int{3}, alone, []int{3}, []int{3}, true},
		{"two", []int{0, 1}, alone, []int{0}, []int{1}, false},
		{"two threads of a core are better than one", []int{0, 1}, pairs, []int{0}, []int{1}, false},
		{"four threads", []int{0, 1, 2, 3}, pairs, []int{0}, []int{3}, false},
		{"the last is the first's sibling", []int{0, 1, 2, 3, 4}, far, []int{0}, []int{3}, false},
	} {
		server, generator, shared := split(c.allowed, c.siblings)
		if !reflect.DeepEqual(server, c.server) || !reflect.DeepEqual(generator, c.generator) || shared != c.shared {
			t.Errorf("%s: server %v, generator %v, shared %v", c.name, server, generator, shared)
		}
	}
}

func TestCPULists(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0,2-3": {0, 2, 3}, "3,0-1,1": {0, 1, 3}} {
		if got, err := ParseCPUs(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, bad := range []string{"", "a", "1-", "3-2", "-1", "0,,1", "99999"} {
		if got, err := ParseCPUs(bad); err == nil {
			t.Errorf("%q passed as %v", bad, got)
		}
	}
	if got := FormatCPUs([]int{0, 2, 3, 4, 7}); got != "0,2-4,7" {
		t.Errorf("formatted %q", got)
	}
}

// TestPin: a process started from a pinned one has the same CPUs.
func TestPin(t *testing.T) {
	allowed, err := Allowed()
	if err != nil || len(allowed) == 0 {
		t.Fatal(allowed, err)
	}
	defer func() {
		if err := PinProcess(allowed); err != nil {
			t.Error(err)
		}
	}()
	if err := PinProcess(allowed[len(allowed)-1:]); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status").Output()
	if got := strings.TrimSpace(string(text)); err != nil || !strings.HasSuffix(got, "\t"+FormatCPUs(allowed[len(allowed)-1:])) {
		t.Errorf("the child says %q, %v", got, err)
	}
	if err := PinProcess([]int{1000}); err == nil {
		t.Error("CPU 1000 passed")
	}
}

func TestEnv(t *testing.T) {
	e := Env()
	if e.Schema == 0 || e.CPUs < 1 || e.Memory <= 0 || e.Go == "" || e.OpenFiles == 0 {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil && e.Congestion == "" {
		t.Error("no congestion control")
	}
	if !strings.Contains(e.Kernel, "#") {
		t.Errorf("kernel %q has no build number", e.Kernel)
	}
}
