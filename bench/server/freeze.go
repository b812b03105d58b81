package server

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"chatbench/bench/meter"
)

// freezeLimit is how long a process tree may take until all of it stands still.
const freezeLimit = 10 * time.Second

// Freeze stops the whole process tree and returns when all of it stands still:
// it takes no CPU, and its connections stay open. Parents are stopped before
// their children, and children that were forked meanwhile are found by looking
// again.
func (p *Process) Freeze() error {
	p.frozen.Store(true)
	for begun := time.Now(); ; {
		still := true
		for _, pid := range meter.Tree(p.PID) {
			if meter.Stopped(pid) {
				continue
			}
			still = false
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("server: cannot freeze process %d: %w", pid, err)
			}
		}
		if still {
			return nil
		}
		if time.Since(begun) > freezeLimit {
			return fmt.Errorf("server: %s does not stand still %v after SIGSTOP", p.cmd.Path, freezeLimit)
		}
	}
}

// Thaw lets the whole process tree go on, the children first, so that nobody
// waits for somebody who still sleeps.
func (p *Process) Thaw() error {
	p.frozen.Store(false)
	pids := meter.Tree(p.PID)
	for i := len(pids) - 1; i >= 0; i-- {
		if err := syscall.Kill(pids[i], syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("server: cannot thaw process %d: %w", pids[i], err)
		}
	}
	return nil
}
