package meter

import (
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"chatbench/bench/machine"
)

// TestStarved: a process that waits for a CPU is starved; one that has nothing to do is not, and
// neither is one that has the CPU to itself.
func TestStarved(t *testing.T) {
	allowed, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	start := func(nice, what string) int {
		cmd := exec.Command("nice", "-n", nice, "taskset", "-c", strconv.Itoa(allowed[0]), "sh", "-c", what)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd.Process.Pid
	}
	idle := start("0", "exec sleep 100")
	time.Sleep(100 * time.Millisecond)
	if Starved(idle) {
		t.Error("a process that sleeps is called starved")
	}
	start("0", "while :; do :; done")
	poor := start("19", "sleep 0.3; while :; do :; done")
	for end := time.Now().Add(10 * time.Second); !Starved(poor); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a process at nice 19 beside one at nice 0 is not called starved")
		}
	}
}
