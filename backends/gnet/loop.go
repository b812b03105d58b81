package gnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/linger"
	"chatbench/core"
	"chatbench/internal/loglimit"
)

const (
	readSize  = 16 << 10  // octets one read takes, and a client is fed before others have their turn
	writeSize = 256 << 10 // octets one write is offered, and gnet may have to keep
)

// loop is what gnet's callbacks work on, and the room's Waker.
type loop struct {
	lib.BuiltinEventEngine
	cfg   backends.Config
	bell  bell
	lines loglimit.Limit

	// Work noted by any goroutine.
	roomGrew   atomic.Bool
	stopping   atomic.Bool
	cutting    atomic.Pointer[error] // why connections are cut
	mu         sync.Mutex
	mail       []*conn // sessions with output of their own, or that must close
	mailClosed bool    // nobody is left to read the mail

	empty chan struct{} // closed when the loop is to stop and has no connection
	cut   error         // set before empty is closed: some were cut

	// The loop's own.
	live      []*conn
	parting   []*conn // gone, and what they sent is not all fed
	lagging   []*conn // gnet keeps octets of theirs
	lingering linger.Queue[*conn]
	alarm     *time.Timer
	spareMail []*conn
	spareLag  []*conn
	flushedAt uint64 // Room.Said at the last flush of the room
	read      int    // octets since the last flush
	over      bool   // empty is closed
	timer     backends.TurnTimer
}

func newLoop(cfg backends.Config) *loop {
	l := &loop{cfg: cfg, empty: make(chan struct{}), timer: cfg.Counters.TurnTimer()}
	l.bell.task = l.turn
	l.alarm = time.AfterFunc(time.Hour, func() { l.bell.ring() })
	l.alarm.Stop()
	return l
}

// WakeRoom notes that the log has grown.
func (l *loop) WakeRoom() {
	if !l.roomGrew.Load() && !l.roomGrew.Swap(true) {
		l.bell.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (l *loop) Wake(s *core.Session) { l.note(s.Tag().(*conn)) }

func (l *loop) note(c *conn) {
	if c.mailed.Load() || c.mailed.Swap(true) {
		return
	}
	l.mu.Lock()
	if !l.mailClosed {
		l.mail = append(l.mail, c)
	}
	l.mu.Unlock()
	l.bell.ring()
}

// end has the loop end when it has no connection any more. Nobody enrolls one
// from now on.
func (l *loop) end() {
	l.stopping.Store(true)
	if !l.bell.ring() {
		close(l.empty) // there never was a connection
	}
}

// cutOff ends all connections, those too that are still to come.
func (l *loop) cutOff(why error) {
	l.cutting.Store(&why)
	l.bell.ring()
}

// OnOpen has a new connection join the room.
func (l *loop) OnOpen(gc lib.Conn) ([]byte, lib.Action) {
	l.bell.hang(gc.EventLoop())
	c := &conn{loop: l, gnet: gc, place: len(l.live)}
	l.live = append(l.live, c)
	gc.SetContext(c)
	c.session = l.cfg.Room.Join(peer(gc), l, c)
	if _, closing := c.session.Closing(); closing || l.cutting.Load() != nil {
		l.note(c) // nobody wakes us for one that is turned away
	}
	return nil, lib.None
}

// peer is a client's address. The zones of the addresses are strings of
// package net, which gnet would put into its pool of buffers.
func peer(gc lib.Conn) netip.AddrPort {
	remote, local := gc.RemoteAddr().(*net.TCPAddr), gc.LocalAddr().(*net.TCPAddr)
	addr := remote.AddrPort()
	remote.Zone, local.Zone = "", ""
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// OnTraffic takes what a client has sent, one read a turn.
func (l *loop) OnTraffic(gc lib.Conn) lib.Action {
	in, _ := gc.Next(-1)
	if c, ok := gc.Context().(*conn); ok {
		l.timer.Begin()
		c.feed(in)
		l.timer.End()
	}
	return lib.None
}

// mayFlush writes in the middle of a turn if much has been read or said.
func (l *loop) mayFlush() {
	if l.read > backends.FlushAfter || l.cfg.Room.Said()-l.flushedAt > backends.FlushAfter {
		l.flush()
	}
}

// OnClose lets go of a connection. gnet closes its descriptor right after, and
// it may do so from within a Write that has failed.
func (l *loop) OnClose(gc lib.Conn, err error) lib.Action {
	c, ok := gc.Context().(*conn)
	if !ok || c.gnet == nil {
		return lib.None
	}
	why := core.ReasonReset
	switch {
	case errors.Is(err, io.EOF):
		why = core.ReasonEOF
		c.write() // it may read yet, and gnet closes right after
	case errors.Is(err, unix.EPIPE): // of a write: a reset, but a FIN came before
		why = core.ReasonEOF
		c.readRest()
	case err != nil:
		c.readRest()
	case l.cutting.Load() != nil:
		why = core.ReasonCut
	}
	c.settle()
	c.gnet, c.why = nil, why
	last := len(l.live) - 1
	l.live[c.place] = l.live[last]
	l.live[c.place].place = c.place
	l.live[last] = nil
	l.live = l.live[:last]
	if why == core.ReasonCut || len(c.rest) == 0 {
		l.leave(c)
		return lib.None
	}
	l.parting = append(l.parting, c)
	l.bell.ring()
	return lib.None
}

// leave takes a client that is gone out of the room.
func (l *loop) leave(c *conn) {
	c.rest = nil
	c.session.Leave(c.why)
	if l.stopping.Load() && len(l.live)+len(l.parting) == 0 {
		l.bell.ring()
	}
}

// feedParting goes on with what clients sent who are gone: a step of each in turn,
// and a little of each before others are read.
func (l *loop) feedParting() {
	for range readSize / backends.FeedStep {
		list := l.parting
		l.parting = nil
		for _, c := range list {
			if _, closing := c.session.Closing(); closing {
				c.rest = nil // thrown away
			}
			if len(c.rest) > 0 {
				c.rest = c.step(c.rest)
				c.discard()
				l.mayFlush()
			}
			if len(c.rest) > 0 {
				l.parting = append(l.parting, c)
			} else {
				l.leave(c)
			}
		}
		if len(l.parting) == 0 {
			return
		}
	}
	l.bell.ring()
}

// OnShutdown comes before the loop stops.
func (l *loop) OnShutdown(lib.Engine) { l.bell.takeDown() }

// turn is the task the bell has run.
func (l *loop) turn(context.Context) error {
	l.timer.Begin()
	defer l.timer.Over()
	l.bell.rung.Store(false) // before the notes are read: what comes later rings again
	l.flush()
	l.feedParting()
	l.endLingering()
	if why := l.cutting.Load(); why != nil && len(l.live)+len(l.parting) > 0 {
		l.cutAll(*why)
	}
	if l.stopping.Load() && len(l.live)+len(l.parting) == 0 {
		l.finished()
		return nil
	}
	l.setAlarm()
	return nil
}

// flush writes to every client all that it is behind, once.
func (l *loop) flush() {
	l.read = 0
	if l.roomGrew.Load() {
		l.roomGrew.Store(false) // before the log is read: what comes later wakes again
		l.flushedAt = l.cfg.Room.Said()
		for i := len(l.live) - 1; i >= 0; i-- { // write may drop the one it is at
			l.live[i].write()
		}
	}
	l.mu.Lock()
	mail := l.mail
	l.mail = l.spareMail
	l.mu.Unlock()
	for i, c := range mail {
		c.mailed.Store(false)
		mail[i] = nil
		c.write()
	}
	l.spareMail = mail[:0]
	lagging := l.lagging
	l.lagging = l.spareLag
	for i, c := range lagging {
		c.listed = false
		lagging[i] = nil
		c.write() // lists it again if it still lags
	}
	l.spareLag = lagging[:0]
}
