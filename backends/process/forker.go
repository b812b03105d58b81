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
	maxOrdered   = 64 // children ordered for clients; more clients wait in the loop
	aheadAtATime = 2  // children ordered to wait, so that a client's own is soon its turn
)

// order is a child to be forked. The forker owns the socket from then on, until it fails.
type order struct {
	client *client // nil: it is to wait for one
	socket int
	peer   string
}

// result is what came of an order.
type result struct {
	client *client
	kid    *kid
	err    error // there is none, and the loop has the client's socket again
	socket int
}

// forker is the goroutine that forks, so that the loop never waits for it.
type forker struct {
	maxFrame int
	farewell int // in milliseconds
	pipe     int // octets in a pipe to a child
	orders   chan order
	once     sync.Once
	group    sync.WaitGroup
	forks    atomic.Int64 // children made
}

// newForker starts a forker that gives what it makes to took.
func newForker(cfg backends.Config, took func(result)) *forker {
	f := &forker{
		maxFrame: cfg.MaxFrame,
		farewell: int(cfg.Room.Farewell().Milliseconds()),
		pipe:     child.FromParent,
		orders:   make(chan order, maxOrdered+aheadAtATime),
	}
	if f.maxFrame <= 0 {
		f.maxFrame = core.LargestFrame
	}
	if cfg.SendBuffer > 0 { // the pipe is a part of what it bounds
		f.pipe = min(f.pipe, cfg.SendBuffer)
	}
	f.group.Go(func() {
		for o := range f.orders {
			k, err := f.fork(o)
			if err == nil {
				f.forks.Add(1)
			}
			took(result{o.client, k, err, o.socket})
		}
	})
	return f
}

// end waits for the orders given. It may be called again.
func (f *forker) end() {
	f.once.Do(func() { close(f.orders) })
	f.group.Wait()
}

// fork makes a child. It closes the client's socket if it succeeds.
func (f *forker) fork(o order) (k *kid, err error) {
	k = &kid{pidfd: -1, up: -1, down: -1, handle: -1}
	theirs := [3]int{-1, -1, o.socket} // in the child 0, 1 and 3
	defer func() {
		for _, fd := range theirs {
			if fd >= 0 && (err == nil || fd != o.socket) {
				_ = unix.Close(fd)
			}
		}
	}()
	err = k.pipes(&theirs, f.pipe)
	title := "chatd: client " + o.peer
	if err == nil && o.client == nil {
		title = "chatd: client to come"
		k.handle, theirs[2], err = socketPair()
	}
	if err == nil {
		k.pid, err = syscall.ForkExec(program, []string{title}, &syscall.ProcAttr{
			Env:   child.Environment(o.client == nil, f.maxFrame, f.farewell),
			Files: []uintptr{uintptr(theirs[0]), uintptr(theirs[1]), 2, uintptr(theirs[2])},
			// A group of its own: what is typed at the parent's terminal is not for it.
			Sys: &syscall.SysProcAttr{PidFD: &k.pidfd, Setpgid: true},
		})
	}
	if err == nil && k.pidfd < 0 {
		err = fmt.Errorf("no descriptor of the process (Linux 5.4 or later is needed)")
		_ = unix.Kill(k.pid, unix.SIGKILL)
		_, _ = unix.Wait4(k.pid, nil, 0, nil)
	}
	if err != nil {
		for _, fd := range []int{k.up, k.down, k.handle} {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
		return nil, err
	}
	return k, nil
}

// pipes makes the two pipes of a child, the one to it of so many octets. No end
// blocks but the child's of the one it reads.
func (k *kid) pipes(theirs *[3]int, size int) error {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	theirs[0], k.down = down[0], down[1]
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	theirs[1], k.up = up[1], up[0]
	// The kernel rounds up to a page. A pipe of another size works as well.
	_, _ = unix.FcntlInt(uintptr(k.down), unix.F_SETPIPE_SZ, size)
	_, _ = unix.FcntlInt(uintptr(k.up), unix.F_SETPIPE_SZ, child.FromClient)
	return unix.SetNonblock(k.down, true)
}

// socketPair makes the connection over which a waiting child is handed a client.
func socketPair() (ours, theirs int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	return pair[0], pair[1], nil
}
