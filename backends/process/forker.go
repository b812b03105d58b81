package process

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/process/child"
	"chatbench/core"
)

const (
	maxRequested      = 64 // children requested for clients; more clients wait in loop.queue
	maxRequestedAhead = 2  // children requested ahead; few, so that they do not delay those for clients
)

// forkRequest is a child to be forked. From then on the forker owns the client's socket; if it
// fails it gives the socket back.
type forkRequest struct {
	client *client // nil: the child has to wait for one
	socket int
	peer   string
}

// forkResult is the result of a request.
type forkResult struct {
	client *client
	child  *childProc
	err    error // no child was forked, and the client's socket is given back
	socket int
}

// forker forks children on a goroutine of its own, so that the loop never waits for a fork.
type forker struct {
	maxFrame int
	farewell int // in milliseconds
	pipe     int // octets in a pipe to a child
	requests chan forkRequest
	once     sync.Once
	group    sync.WaitGroup
	forks    atomic.Int64 // children forked
}

// newForker starts a forker that passes its results to forked.
func newForker(cfg backends.Config, forked func(forkResult)) *forker {
	f := &forker{
		maxFrame: cfg.MaxFrame,
		farewell: int(cfg.Room.Farewell().Milliseconds()),
		pipe:     child.FromParent,
		requests: make(chan forkRequest, maxRequested+maxRequestedAhead),
	}
	if f.maxFrame <= 0 {
		f.maxFrame = core.LargestFrame
	}
	if cfg.SendBuffer > 0 { // the pipe counts as part of the send buffer
		f.pipe = min(f.pipe, cfg.SendBuffer)
	}
	f.group.Go(func() {
		for r := range f.requests {
			k, err := f.fork(r)
			if err == nil {
				f.forks.Add(1)
			}
			forked(forkResult{r.client, k, err, r.socket})
		}
	})
	return f
}

// end stops the forker after the requests made so far. It may be called again.
func (f *forker) end() {
	f.once.Do(func() { close(f.requests) })
	f.group.Wait()
}

// fork forks a child. If it succeeds it closes the client's socket.
func (f *forker) fork(r forkRequest) (k *childProc, err error) {
	k = &childProc{pidfd: -1, fromChild: -1, toChild: -1, handoff: -1}
	theirs := [3]int{-1, -1, r.socket} // descriptors 0, 1 and 3 of the child
	defer func() {
		for _, fd := range theirs {
			if fd >= 0 && (err == nil || fd != r.socket) {
				_ = unix.Close(fd)
			}
		}
	}()
	err = k.pipes(&theirs, f.pipe)
	title := "chatd: client " + r.peer
	if err == nil && r.client == nil {
		title = "chatd: waits for a client"
		k.handoff, theirs[2], err = socketPair()
	}
	if err == nil {
		k.pid, err = syscall.ForkExec(program, []string{title}, &syscall.ProcAttr{
			Env:   child.Environment(r.client == nil, f.maxFrame, f.farewell),
			Files: []uintptr{uintptr(theirs[0]), uintptr(theirs[1]), 2, uintptr(theirs[2])},
			// A process group of its own: a signal from the parent's terminal must not end it.
			Sys: &syscall.SysProcAttr{PidFD: &k.pidfd, Setpgid: true},
		})
	}
	if err == nil && k.pidfd < 0 {
		err = fmt.Errorf("the kernel gave no pidfd: use Linux 5.4 or later")
		_ = unix.Kill(k.pid, unix.SIGKILL)
		_, _ = unix.Wait4(k.pid, nil, 0, nil)
	}
	if err != nil {
		for _, fd := range []int{k.fromChild, k.toChild, k.handoff} {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
		return nil, err
	}
	return k, nil
}

// pipes makes the two pipes of a child. The one to the child has the given size. Only the end
// from which the child reads blocks.
func (k *childProc) pipes(theirs *[3]int, size int) error {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	theirs[0], k.toChild = down[0], down[1]
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	theirs[1], k.fromChild = up[1], up[0]
	// The kernel rounds up to a page. A pipe of another size works as well.
	_, _ = unix.FcntlInt(uintptr(k.toChild), unix.F_SETPIPE_SZ, size)
	_, _ = unix.FcntlInt(uintptr(k.fromChild), unix.F_SETPIPE_SZ, child.FromClient)
	return unix.SetNonblock(k.toChild, true)
}

// socketPair makes the connection over which a waiting child is given its client.
func socketPair() (ours, theirs int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	return pair[0], pair[1], nil
}
