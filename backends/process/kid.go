package process

import (
	"golang.org/x/sys/unix"

	"chatbench/backends/process/child"
	"chatbench/core"
)

// kid is a child as its parent knows it.
type kid struct {
	pid    int
	pidfd  int
	up     int     // what its client sends comes from here; -1 after the end
	down   int     // what its client is sent goes here; -1 after the end
	handle int     // the socket over which it is handed a client; -1: it has one
	client *client // nil: it waits for one
	place  int     // in loop.kids
	killed bool    // by us
}

// closeEnd closes a descriptor of a kid's, once.
func (l *loop) closeEnd(fd *int) {
	if *fd >= 0 {
		l.poller.remove(*fd)
		l.inputs.remove(*fd)
		_ = unix.Close(*fd)
		*fd = -1
	}
}

// adopt has the loop told when a new child ends.
func (l *loop) adopt(k *kid) bool {
	k.place = len(l.kids)
	l.kids = append(l.kids, k)
	// Its end is the end of what its client sends, and held back like that.
	err := l.inputs.add(k.pidfd, unix.EPOLLIN, func() { l.ended(k) })
	if err != nil {
		l.lines.Warn(l.cfg.Log, "a child cannot be watched", "err", err)
		k.kill()
		l.reap(k)
	}
	return err == nil
}

// attach brings a client and its child together.
func (l *loop) attach(c *client, k *kid) {
	c.kid, k.client = k, c
	err := l.inputs.add(k.up, unix.EPOLLIN, func() { l.readPipe(c) })
	if err == nil {
		// An edge comes when the child has read from a full pipe, so that to be
		// blocked costs no system calls.
		err = l.poller.add(k.down, unix.EPOLLOUT|unix.EPOLLET, func() { l.unblock(c) })
	}
	switch {
	case err != nil:
		l.lines.Warn(l.cfg.Log, "a client's pipes cannot be watched", "peer", c.session.Peer(), "err", err)
		l.kill(c)
	case c.gone:
		l.kill(c) // cut while its child was forked
	default:
		l.write(c)
	}
}

// kill ends a child.
func (k *kid) kill() {
	k.killed = true
	_ = unix.PidfdSendSignal(k.pidfd, unix.SIGKILL, nil, 0)
}

// ended takes what the client of a child that has ended had sent, a little in a
// turn, and then the child itself.
func (l *loop) ended(k *kid) {
	if c := k.client; c != nil && !c.gone && k.up >= 0 {
		if n, _ := l.readSteps(c); n > 0 || l.hold.active() {
			return // there may be more: it is called again
		}
	}
	l.reap(k)
}

// reap takes what a child that has ended, or was killed, leaves behind: its exit
// code and its descriptors.
func (l *loop) reap(k *kid) {
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
	l.report(k, status)
	for _, fd := range []*int{&k.up, &k.down, &k.handle, &k.pidfd} {
		l.closeEnd(fd)
	}
	l.forget(k)
}

// forget takes a child off the lists.
func (l *loop) forget(k *kid) {
	last := len(l.kids) - 1
	l.kids[k.place] = l.kids[last]
	l.kids[k.place].place = k.place
	l.kids[last] = nil
	l.kids = l.kids[:last]
	for i, w := range l.waiting {
		if w == k {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
}

// report logs an end that nobody here has asked for.
func (l *loop) report(k *kid, status unix.WaitStatus) {
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
	l.deaths.Warn(l.cfg.Log, "a child has died", attrs...)
}
