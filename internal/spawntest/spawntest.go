// Package spawntest starts processes for tests from a thread of their own. A process that is
// started with Pdeathsig ends with that thread, and so with the test. The thread may be in
// namespaces of its own, and then the process is too.
//
// It is for tests alone. It does not set Pdeathsig: whoever starts a process does. Namespaces
// end with the last process in them. Any goroutine may call the methods of a Thread, which
// runs one function at a time.
package spawntest

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Thread is a thread that processes are started from.
type Thread struct {
	jobs chan func()
	id   int
}

// New starts a thread in new namespaces: flags of unshare(2), or 0 for none.
func New(namespaces int) (*Thread, error) {
	t := &Thread{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		t.id = unix.Gettid()
		err := unix.Unshare(namespaces)
		if err == nil && namespaces&unix.CLONE_NEWNS != 0 {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		ready <- err
		for job := range t.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		close(t.jobs)
		return nil, fmt.Errorf("unshare: %w", err)
	}
	return t, nil
}

// Shared is one thread for all processes that need no namespaces.
var Shared = sync.OnceValues(func() (*Thread, error) { return New(0) })

// ID is the thread's ID, by which ip(8) finds its network namespace.
func (t *Thread) ID() int { return t.id }

// End ends the thread.
func (t *Thread) End() { close(t.jobs) }

// Do calls a function on the thread, and returns its error.
func (t *Thread) Do(job func() error) error {
	done := make(chan error)
	t.jobs <- func() { done <- job() }
	return <-done
}

// Run runs a command from the thread. Spaces separate its arguments; there is no quoting.
func (t *Thread) Run(line string) error {
	args := strings.Fields(line)
	return t.Do(func() error {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return nil
	})
}
