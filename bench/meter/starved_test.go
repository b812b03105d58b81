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
	until := func(what string, is func() bool) {
		for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	idle := start("0", "exec sleep 100")
	until("a process that sleeps is called starved", func() bool { return !Starved(idle) }) // it is until it has begun to sleep, perhaps
	start("0", "while :; do :; done")
	poor := start("19", "while :; do :; done")
	until("a process at nice 19 beside one at nice 0 is not called starved", func() bool { return Starved(poor) })
}
