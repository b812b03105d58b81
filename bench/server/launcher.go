package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"chatbench/bench/meter"
	"chatbench/loadgen/pin"
)

// Launcher has the one thread from which servers are started. The thread is pinned to
// the servers' CPUs, so servers run there from their first instruction;
// counters opened on it are inherited by the server alone; and because it lives as long
// as the launcher, the kernel's parent-death signal works as intended.
type Launcher struct {
	cpus []int
	jobs chan func()
}

// NewLauncher starts the thread.
func NewLauncher(cpus []int) (*Launcher, error) {
	l := &Launcher{cpus: cpus, jobs: make(chan func())}
	pinned := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		pinned <- pin.Thread(cpus)
		for job := range l.jobs {
			job()
		}
	}()
	if err := <-pinned; err != nil {
		close(l.jobs)
		return nil, err
	}
	return l, nil
}

// Close ends the thread, and with it every server that still runs.
func (l *Launcher) Close() { close(l.jobs) }

// Start runs a command and returns when it listens. withSyscalls adds
// the system call counter. If ctx ends first, the command is killed.
func (l *Launcher) Start(ctx context.Context, withSyscalls bool, path string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(path, args...)}
	p.cmd.Env = environment(os.Environ(), len(l.cpus))
	p.cmd.Stderr = &p.errText
	p.cmd.WaitDelay = time.Second // a child that outlives it may hold its stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C is the bench's to handle
		Pdeathsig: syscall.SIGKILL,
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	forked := make(chan error)
	l.jobs <- func() {
		p.Counters = meter.OpenCounters(withSyscalls)
		forked <- p.cmd.Start()
	}
	if err := <-forked; err != nil {
		p.Counters.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	p.started(stdout)
	if err := p.awaitListening(ctx); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// Output runs a command to its end and returns what it wrote to stdout. begin is
// called on the launcher's thread just before the command is forked, so that
// the command inherits the counters that begin opens. If ctx ends first, the command is
// killed.
func (l *Launcher) Output(ctx context.Context, begin func(), path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout = &out
	forked := make(chan error)
	l.jobs <- func() {
		begin()
		forked <- cmd.Start()
	}
	if err := <-forked; err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("server: %s: %w", path, err)
	}
	return out.Bytes(), nil
}

// environment is the server's environment: GOMAXPROCS is its number of CPUs, and
// defaults that the user has set for chatd on other occasions are removed.
func environment(own []string, cpus int) []string {
	env := []string{fmt.Sprintf("GOMAXPROCS=%d", cpus)}
	for _, v := range own {
		if !strings.HasPrefix(v, "GOMAXPROCS=") && !strings.HasPrefix(v, "CHATD_") {
			env = append(env, v)
		}
	}
	return env
}
