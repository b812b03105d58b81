package server

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"chatbench/bench/meter"
)

// freezeLimit is how long it may take until all processes of a tree are stopped.
const freezeLimit = 10 * time.Second

// Freeze stops the whole process tree and returns when all of it is stopped:
// it uses no CPU, and its connections stay open. Parents are stopped before
// their children, and children that were forked in between are found by listing the tree
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

// Thaw continues the whole process tree, the children first, so that no process
// waits for one that is still stopped.
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
