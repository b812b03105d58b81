package process

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

const (
	kidTasks    = 4                      // threads of a child, at most
	spareTasks  = 32                     // for the runtime of this process, which ends without them, and for others
	turnAccepts = 64                     // connections taken in a turn
	restTime    = 100 * time.Millisecond // how long the listener rests when accepting is of no use
	quietTime   = 20 * time.Millisecond  // without a newcomer, before children are forked to wait
)

// listener is the listening socket. It is not watched while it rests, because
// descriptors or processes have run out.
type listener struct {
	fd      int // -1 once stopped
	addr    netip.AddrPort
	reserve *socket.Reserve
	until   time.Time // when a rest ends; zero: not resting
}

func listen(cfg backends.Config) (*listener, error) {
	fd, addr, err := socket.ListenFD(cfg, false)
	if err != nil {
		return nil, err
	}
	reserve, err := socket.NewReserve()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &listener{fd: fd, addr: addr, reserve: reserve}, nil
}

func (n *listener) resting() bool { return !n.until.IsZero() }

func (n *listener) close() {
	_ = unix.Close(n.fd)
	n.fd = -1
	n.until = time.Time{}
	n.reserve.Close()
}

func (l *loop) watchListener() error {
	return l.poller.add(l.listener.fd, unix.EPOLLIN, l.accept)
}

// stopListening takes no more connections. It may be called again.
func (l *loop) stopListening() {
	if l.listener.fd >= 0 {
		l.poller.remove(l.listener.fd)
		l.listener.close()
	}
}

// rest stops accepting for a while.
func (l *loop) rest(err error) {
	if l.listener.fd < 0 {
		return
	}
	l.lines.Warn(l.cfg.Log, "accepting rests", "for", restTime, "err", err)
	l.poller.remove(l.listener.fd)
	l.listener.until = time.Now().Add(restTime)
}

// endRest accepts again when the listener has rested long enough.
func (l *loop) endRest(now time.Time) {
	if now.Before(l.listener.until) {
		return
	}
	if l.watchListener() == nil {
		l.listener.until = time.Time{}
	}
}

// accept takes the connections that wait, at most turnAccepts of them.
func (l *loop) accept() {
	for range turnAccepts {
		fd, peer, err := socket.Accept(l.listener.fd)
		switch {
		case err == nil:
			l.join(fd, peer)
			continue
		case err == unix.EAGAIN:
			return
		}
		l.cfg.Counters.AcceptErrors.Add(1)
		if !socket.Exhausted(err) || !l.listener.reserve.TurnAway(l.listener.fd) {
			l.rest(err)
			return
		}
		l.cfg.Counters.NoDescriptors.Add(1)
	}
}

// takeTasks looks whether there are threads and processes for one child more. Those of
// children that are ordered are not there yet, nor those of clients who are promised
// one, as far as none waits for them.
func (l *loop) takeTasks() error {
	return l.tasks.Take(kidTasks, kidTasks*(l.ordered+l.orderedMore+max(l.promised-len(l.waiting), 0)))
}

// hasTasks is the same for a client, which is turned away if there are none.
func (l *loop) hasTasks() bool {
	if l.promised < len(l.waiting) {
		return true
	}
	err := l.takeTasks()
	if err != nil {
		l.cfg.Counters.NoDescriptors.Add(1)
		l.lines.Warn(l.cfg.Log, "a connection is turned away", "err", err)
	}
	return err == nil
}

// join makes a client of an accepted socket.
func (l *loop) join(fd int, peer netip.AddrPort) {
	l.cfg.Counters.Accepts.Add(1)
	c := &client{place: len(l.live), socket: fd}
	l.live = append(l.live, c)
	c.session = l.cfg.Room.Join(peer, l, c)
	if _, closing := c.session.Closing(); closing {
		l.sendAway(c)
		return
	}
	l.begin(c)
}

// order finds a child for a client whose socket is read by nobody else from now on. One
// that is promised a child has its tasks.
func (l *loop) order(c *client) {
	l.inputs.remove(c.socket)
	if l.cfg.SpawnAhead > 0 {
		l.joinedAt = time.Now()
	}
	switch {
	case l.handOver(c):
	case !c.stage.promised() && !l.hasTasks(): // it was being sent away
		l.leave(c, core.ReasonReset)
	case l.ordered >= maxOrdered:
		l.move(c, due)
		l.due = append(l.due, c)
	default:
		l.move(c, served)
		l.ordered++
		l.forker.orders <- order{c, c.socket, c.session.Peer().String()} // has room: maxOrdered
		c.socket = -1
	}
}

// orderDue orders children for those for whom too many were ordered before.
func (l *loop) orderDue() {
	for len(l.due) > 0 && (l.ordered < maxOrdered || len(l.waiting) > 0) {
		c := l.due[0]
		l.due[0] = nil
		l.due = l.due[1:]
		if c.stage == due {
			l.order(c)
		}
	}
}

// handOver gives a client to a child that waits, if there is one.
func (l *loop) handOver(c *client) bool {
	for len(l.waiting) > 0 {
		k := l.waiting[0] // the one that has had the most time to start
		l.waiting = l.waiting[1:]
		err := unix.Sendmsg(k.handle, []byte{0}, unix.UnixRights(c.socket), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil {
			k.kill() // it has died already
			continue
		}
		l.move(c, served)
		l.closeEnd(&c.socket)
		l.closeEnd(&k.handle)
		l.attach(c, k)
		return true
	}
	return false
}

// spawnAhead orders children to wait for clients, if there are not enough. To
// fork while clients come would take the processor from those it is to serve:
// unless half are gone it waits for a quiet moment.
func (l *loop) spawnAhead() {
	l.quietAt = time.Time{}
	missing := l.cfg.SpawnAhead - len(l.waiting) - l.orderedMore
	if missing <= 0 || l.stopping.Load() || l.ordered > 0 || l.listener.resting() {
		return
	}
	if missing <= l.cfg.SpawnAhead/2 {
		if quiet := l.joinedAt.Add(quietTime); time.Now().Before(quiet) {
			l.quietAt = quiet
			return
		}
	}
	for ; missing > 0 && l.orderedMore < aheadAtATime; missing-- {
		if err := l.takeTasks(); err != nil {
			l.lines.Warn(l.cfg.Log, "no child is forked to wait for a client", "err", err)
			l.quietAt = time.Now().Add(restTime)
			return
		}
		l.orderedMore++
		l.forker.orders <- order{socket: -1}
	}
}

// dismiss sends the children away that wait for a client.
func (l *loop) dismiss() {
	for _, k := range l.waiting {
		l.closeEnd(&k.handle)
	}
	l.waiting = nil
}

// takeForked takes what came of orders.
func (l *loop) takeForked() {
	l.mu.Lock()
	forked := l.forked
	l.forked = l.spareForked
	l.mu.Unlock()
	for i, r := range forked {
		forked[i] = result{}
		if r.client == nil {
			l.orderedMore--
		} else {
			l.ordered--
		}
		l.take(r)
	}
	l.spareForked = forked[:0]
	l.orderDue()
}

// take takes what came of one order.
func (l *loop) take(r result) {
	switch {
	case r.err != nil:
		l.rest(r.err)
		if r.client != nil {
			l.unserved(r.client, r.socket)
		}
	case !l.adopt(r.kid):
		if r.client != nil {
			l.leave(r.client, core.ReasonReset)
		}
	case r.client == nil:
		l.waiting = append(l.waiting, r.kid)
	default:
		l.attach(r.client, r.kid)
	}
}

// unserved tells a client that it gets no child, on its socket, which the forker has
// given back.
func (l *loop) unserved(c *client, socket int) {
	c.socket = socket
	if c.gone { // cut meanwhile
		l.closeEnd(&c.socket)
		return
	}
	l.cfg.Counters.NoDescriptors.Add(1)
	c.session.TurnAway()
	l.sendAway(c)
}
