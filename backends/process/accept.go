package process

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// quietTime has to pass without a new client before children are forked ahead.
const quietTime = 20 * time.Millisecond

func (l *loop) watchListener() error { return l.poller.add(l.listener.FD, unix.EPOLLIN, l.accept) }

// accept accepts the connections that wait. If that fails the listener is not watched for a
// while.
func (l *loop) accept() {
	if !l.listener.AcceptReady(l.join) {
		l.poller.remove(l.listener.FD)
	}
}

// pauseAccepting stops accepting for a while because of err.
func (l *loop) pauseAccepting(err error) {
	if l.listener.FD >= 0 {
		l.listener.Pause(err)
		l.poller.remove(l.listener.FD)
	}
}

// resumeAccepting watches the listener again when its pause is over.
func (l *loop) resumeAccepting(now time.Time) {
	if l.listener.PauseOver(now) && l.watchListener() == nil {
		l.listener.Resume()
	}
}

// stopListening closes the listener. It may be called again.
func (l *loop) stopListening() {
	if l.listener.FD >= 0 {
		l.poller.remove(l.listener.FD)
		l.listener.Close()
	}
}

// join makes a client of an accepted socket.
func (l *loop) join(fd int, peer netip.AddrPort) {
	c := &client{index: len(l.live), socket: fd}
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	if _, closing := c.session.Closing(); closing {
		l.refuse(c)
		return
	}
	l.begin(c)
}

// requestChild gives a client to a child that waits, or requests one from the forker. From now
// on the loop does not read the client's socket. A client that was promised a child has its
// tasks already.
func (l *loop) requestChild(c *client) {
	l.inputs.remove(c.socket)
	if l.cfg.SpawnAhead > 0 {
		l.joinedAt = time.Now()
	}
	switch {
	case l.handOver(c):
	case !c.stage.promised() && !l.hasTasks(): // it was being refused
		l.leave(c, core.ReasonReset)
	case l.requested >= maxRequested:
		l.move(c, queued)
		l.queue = append(l.queue, c)
	default:
		l.move(c, served)
		l.requested++
		l.forker.requests <- forkRequest{c, c.socket, c.session.Peer().String()} // has room: maxRequested
		c.socket = -1
	}
}

// requestQueued requests children for queued clients, as far as maxRequested allows.
func (l *loop) requestQueued() {
	for len(l.queue) > 0 && (l.requested < maxRequested || len(l.waiting) > 0) {
		c := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		if c.stage == queued {
			l.requestChild(c)
		}
	}
}

// handOver gives a client to a child that waits. It returns false if none does.
func (l *loop) handOver(c *client) bool {
	for len(l.waiting) > 0 {
		k := l.waiting[0] // the one that has had the most time to start
		l.waiting = l.waiting[1:]
		err := unix.Sendmsg(k.handoff, []byte{0}, unix.UnixRights(c.socket), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil {
			k.kill() // it has died already
			continue
		}
		l.move(c, served)
		l.closeFD(&c.socket)
		l.closeFD(&k.handoff)
		l.attach(c, k)
		return true
	}
	return false
}

// spawnAhead requests children that wait for clients, if there are too few. Forking while
// clients come would take the processor from those clients. So if more than half of the children
// are left, it waits until no client has come for quietTime.
func (l *loop) spawnAhead() {
	l.quietAt = time.Time{}
	missing := l.cfg.SpawnAhead - len(l.waiting) - l.requestedAhead
	if missing <= 0 || l.stopping.Load() || l.requested > 0 || l.listener.Paused() {
		return
	}
	if missing <= l.cfg.SpawnAhead/2 {
		if quiet := l.joinedAt.Add(quietTime); time.Now().Before(quiet) {
			l.quietAt = quiet
			return
		}
	}
	for ; missing > 0 && l.requestedAhead < maxRequestedAhead; missing-- {
		if err := l.takeTasks(); err != nil {
			l.logLimit.Warn(l.cfg.Log, "no child can be forked ahead of its client", "err", err)
			l.quietAt = time.Now().Add(socket.AcceptPause)
			return
		}
		l.requestedAhead++
		l.forker.requests <- forkRequest{socket: -1}
	}
}

// endWaiting ends the children that wait for a client.
func (l *loop) endWaiting() {
	for _, k := range l.waiting {
		l.closeFD(&k.handoff)
	}
	l.waiting = nil
}

// takeForked handles the results of the forker.
func (l *loop) takeForked() {
	l.mu.Lock()
	forked := l.forked
	l.forked = l.spareForked
	l.mu.Unlock()
	for i, r := range forked {
		forked[i] = forkResult{}
		if r.client == nil {
			l.requestedAhead--
		} else {
			l.requested--
		}
		l.takeResult(r)
	}
	l.spareForked = forked[:0]
	l.requestQueued()
}

// takeResult handles the result of one request.
func (l *loop) takeResult(r forkResult) {
	switch {
	case r.err != nil:
		l.pauseAccepting(r.err)
		if r.client != nil {
			l.unserved(r.client, r.socket)
		}
	case !l.adopt(r.child):
		if r.client != nil {
			l.leave(r.client, core.ReasonReset)
		}
	case r.client == nil:
		l.waiting = append(l.waiting, r.child)
	default:
		l.attach(r.client, r.child)
	}
}

// unserved turns a client away for which no child could be forked. The forker has given back
// its socket.
func (l *loop) unserved(c *client, socket int) {
	c.socket = socket
	if c.gone { // cut meanwhile
		l.closeFD(&c.socket)
		return
	}
	l.cfg.Counters.NoDescriptors.Add(1)
	c.session.TurnAway()
	l.refuse(c)
}
