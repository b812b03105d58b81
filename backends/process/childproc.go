package process

import (
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/process/child"
	"chatbench/core"
)

// childProc is a child process, as the parent sees it.
type childProc struct {
	pid       int
	pidfd     int
	forked    time.Time
	fromChild int     // the pipe from which the loop reads what the client sends; -1 once closed
	toChild   int     // the pipe to which the loop writes what the client is sent; -1 once closed
	handoff   int     // the socket over which a waiting child is given its client; -1: it has one
	client    *client // nil: it waits for one
	index     int     // in loop.children
	killed    bool    // by this process
	reaped    bool    // pid may be another process by now
}

// closeFD closes a descriptor of a child or a client, once.
func (l *loop) closeFD(fd *int) {
	if *fd >= 0 {
		l.poller.remove(*fd)
		l.inputs.remove(*fd)
		_ = unix.Close(*fd)
		*fd = -1
	}
}

// adopt makes the loop watch for the end of a new child. It returns false if that fails.
func (l *loop) adopt(k *childProc) bool {
	k.index, k.forked = len(l.children), time.Now()
	l.children = append(l.children, k)
	l.starting = append(l.starting, k)
	// It is watched with the inputs, because its end follows what its client has sent.
	err := l.inputs.add(k.pidfd, unix.EPOLLIN, func() { l.ended(k) })
	if err != nil {
		l.logLimit.Warn(l.cfg.Log, "a child cannot be watched", "err", err)
		k.kill()
		l.reap(k)
	}
	return err == nil
}

// attach connects a client with its child.
func (l *loop) attach(c *client, k *childProc) {
	c.child, k.client = k, c
	err := l.inputs.add(k.fromChild, unix.EPOLLIN, func() { l.readPipe(c) })
	if err == nil {
		// Edge-triggered: an event comes when the child has read from a full pipe, and no
		// system call is needed to ask for it.
		err = l.poller.add(k.toChild, unix.EPOLLOUT|unix.EPOLLET, func() { l.unblock(c) })
	}
	switch {
	case err != nil:
		l.logLimit.Warn(l.cfg.Log, "a client's pipes cannot be watched", "peer", c.session.Peer(), "err", err)
		l.kill(c)
	case c.gone:
		l.kill(c) // it was cut while its child was forked
	default:
		l.write(c)
	}
}

// kill ends a child.
func (k *childProc) kill() {
	k.killed = true
	_ = unix.PidfdSendSignal(k.pidfd, unix.SIGKILL, nil, 0)
}

// ended is called when a child has ended. It reads what is left in the pipe from it, a part in
// each turn, and then reaps the child.
func (l *loop) ended(k *childProc) {
	if c := k.client; c != nil && !c.gone && k.fromChild >= 0 {
		if n, _ := l.readSteps(c); n > 0 || l.inputPause.active() {
			return // there may be more: it is called again
		}
	}
	l.reap(k)
}

// reap waits for a child that has ended or was killed, leaves the session of its client, and
// closes its descriptors.
func (l *loop) reap(k *childProc) {
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(k.pid, &status, 0, nil)
		if pid == k.pid || err != unix.EINTR {
			break
		}
	}
	if c := k.client; c != nil {
		why := core.ReasonReset
		if status.Exited() && status.ExitStatus() == child.Finished {
			why = core.ReasonEOF
		}
		l.leave(c, why)
	}
	k.reaped = true
	l.report(k, status)
	for _, fd := range []*int{&k.fromChild, &k.toChild, &k.handoff, &k.pidfd} {
		l.closeFD(fd)
	}
	l.forget(k)
}

// forget removes a child from the lists.
func (l *loop) forget(k *childProc) {
	last := len(l.children) - 1
	l.children[k.index] = l.children[last]
	l.children[k.index].index = k.index
	l.children[last] = nil
	l.children = l.children[:last]
	for i, w := range l.waiting {
		if w == k {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
}

// report logs an unexpected end of a child.
func (l *loop) report(k *childProc, status unix.WaitStatus) {
	ordinary := status.Exited() && (status.ExitStatus() == child.Finished || status.ExitStatus() == child.Broken)
	if k.killed || ordinary {
		return
	}
	attrs := []any{"pid", k.pid, "exit", status.ExitStatus()}
	if status.Signaled() {
		attrs = []any{"pid", k.pid, "signal", status.Signal()}
	}
	if k.client != nil {
		attrs = append(attrs, "peer", k.client.session.Peer())
	}
	l.childLogLimit.Warn(l.cfg.Log, "a child has died", attrs...)
}
