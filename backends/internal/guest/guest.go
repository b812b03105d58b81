// Package guest is the half of a transport that is the same on any event loop
// that a library owns: who has something to be written, who is to close, and
// when. It works in turns. A turn is called for by ringing; the library then
// calls it on the goroutine of its loop, after the input that was ready. In a
// turn each client is given, once, all it is behind, so that the busier the
// loop is, the more messages share a write.
//
// It refuses to know the library, to touch a descriptor, and to give the
// library more than one piece of output for a client at a time: what is not
// taken yet stays in the core. Of what a client sends it feeds 16 KiB before
// others have their turn, and keeps the rest. It cannot stop a library from
// reading a client whose session is Held.
//
// Everything belongs to the goroutine of the library's loop, but for
// WakeRoom, Wake, Coming, Missed, Client.Ended, Client.Progress and what a
// Server offers: those are for any goroutine. One loop serves one Guest.
package guest

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/linger"
	"chatbench/core"
)

const (
	feedMost  = 16 << 10 // octets of one client that are fed before others have their turn
	pollEvery = time.Millisecond
)

// Line is a connection as its library knows it.
type Line interface {
	// Send gives the library octets to be written and says how many of them
	// the kernel has taken. The library keeps the rest, and is given nothing
	// more until Sent has said that there is none. After an error nothing can
	// be written any more; the library learns by reading that the client is gone.
	Send(p []byte) (taken int, err error)
	// Sent says how many more of those octets the kernel has taken.
	Sent() (taken int, err error)
	// Finish sends FIN.
	Finish()
	// Close ends the connection, with whatever the library still keeps. The
	// library then says that it has Ended.
	Close()
}

// Library is what a Guest has to know of its host.
type Library struct {
	// Ring has the library call Turn soon. Any goroutine calls it.
	Ring func()
	// Borrows says that the library keeps no copy of what it was given, but
	// the core's own octets, which must not be let go of meanwhile.
	Borrows bool
	// Mute says that the library does not call Client.Progress: its clients
	// are asked what they have Sent, in every turn and every millisecond.
	Mute bool
}

// Guest serves the clients of one loop.
type Guest struct {
	cfg backends.Config
	lib Library

	// Noted by any goroutine.
	rung       atomic.Bool
	grown      atomic.Bool
	coming     atomic.Int64 // accepted and not joined yet
	stopping   atomic.Bool
	cutting    atomic.Bool
	mu         sync.Mutex
	mail       []*Client
	mailClosed bool          // nobody is left to read the mail
	empty      chan struct{} // closed when it is to stop and nobody is left

	// The loop's own.
	live                    []*Client
	keeping                 []*Client // of them, those of whose output the library keeps some
	waiting                 []*Client // of them, those with input that waits here
	lingering               linger.Queue[*Client]
	spareMail, spareWaiting []*Client
	timer                   *time.Timer
	turnTimer               backends.TurnTimer
	flushedAt               uint64 // Room.Said when the room was last written out
	read                    int    // octets since the last flush
	turns                   uint32 // how many there were
	turning                 bool   // within Turn, where connections may be closed
	flushing                bool
	stopped                 bool
}

// New makes a Guest.
func New(cfg backends.Config, lib Library) *Guest {
	g := &Guest{cfg: cfg, lib: lib, empty: make(chan struct{}), turnTimer: cfg.Counters.TurnTimer()}
	g.timer = time.AfterFunc(time.Hour, g.ring)
	g.timer.Stop()
	return g
}

// ring calls for a turn, once however often it is called before there is one.
func (g *Guest) ring() {
	if !g.rung.Load() && !g.rung.Swap(true) {
		g.lib.Ring()
	}
}

// WakeRoom notes that the log has grown.
func (g *Guest) WakeRoom() {
	if !g.grown.Load() && !g.grown.Swap(true) {
		g.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (g *Guest) Wake(s *core.Session) { g.post(s.Tag().(*Client)) }

// post notes that a client has to be looked after.
func (g *Guest) post(c *Client) {
	if c.posted.Load() || c.posted.Swap(true) {
		return
	}
	g.mu.Lock()
	if !g.mailClosed {
		g.mail = append(g.mail, c)
	}
	g.mu.Unlock()
	g.ring()
}

// Coming notes that a connection was accepted, and calls for a turn, before or
// after which the loop takes it over: it will Join, or be Missed.
func (g *Guest) Coming() {
	g.coming.Add(1)
	g.ring()
}

// Missed notes that one who was Coming is not going to Join.
func (g *Guest) Missed() {
	if g.coming.Add(-1) == 0 && g.stopping.Load() {
		g.ring()
	}
}

// Join takes a connection that was Coming into the room.
func (g *Guest) Join(peer netip.AddrPort, line Line) *Client {
	c := &Client{guest: g, line: line, offer: firstOffer, place: len(g.live)}
	g.live = append(g.live, c)
	c.session = g.cfg.Room.Join(peer, g, c)
	if _, closing := c.session.Closing(); closing {
		g.post(c) // one turned away has something to be told, but nobody is woken
	}
	g.Missed()
	return c
}

// Turn does what was rung for.
func (g *Guest) Turn() {
	g.rung.Store(false) // first: what is noted from here on rings again
	g.turnTimer.Begin()
	defer g.turnTimer.Over()
	g.turns++
	g.turning = true
	defer func() { g.turning = false }()
	if g.cutting.Load() {
		for i := len(g.live) - 1; i >= 0; i-- { // cut may drop the one it is at
			g.live[i].cut()
		}
	}
	g.flush()
	g.feedWaiting()
	now := time.Time{}
	if g.lingering.Len() > 0 {
		now = time.Now()
		for c, ok := g.lingering.Pop(now); ok; c, ok = g.lingering.Pop(now) {
			c.end(core.ReasonReset)
		}
	}
	if g.stopping.Load() && g.coming.Load() == 0 && len(g.live) == 0 && !g.stopped {
		g.stopped = true
		g.mu.Lock()
		g.mail, g.mailClosed = nil, true
		g.mu.Unlock()
		close(g.empty)
	}
	g.setTimer(now)
}

// setTimer rings when something is to be done though nothing happens.
func (g *Guest) setTimer(now time.Time) {
	wait := time.Duration(0)
	if g.lingering.Len() > 0 {
		wait = max(g.lingering.First().Sub(now), time.Millisecond)
	}
	if g.lib.Mute && len(g.keeping) > 0 {
		wait = pollEvery
	}
	if wait > 0 {
		g.timer.Reset(wait)
	}
}

// flush gives every client, once, all it is behind, and looks after those who
// were noted.
func (g *Guest) flush() {
	if g.flushing {
		return // the library reads while it writes
	}
	g.flushing = true
	defer func() { g.flushing = false }()
	g.read = 0
	if g.lib.Mute {
		g.settleKeeping()
	}
	if g.grown.Load() {
		g.grown.Store(false) // before the log is read: what comes later wakes again
		g.flushedAt = g.cfg.Room.Said()
		for _, c := range g.live {
			c.write()
		}
	}
	g.mu.Lock()
	mail := g.mail
	g.mail = g.spareMail
	g.mu.Unlock()
	for i, c := range mail {
		c.posted.Store(false)
		mail[i] = nil
		c.attend()
	}
	g.spareMail = mail[:0]
}

// settleKeeping asks after the output that the library keeps.
func (g *Guest) settleKeeping() {
	still := g.keeping[:0]
	for _, c := range g.keeping {
		c.settle()
		if c.kept > 0 && !c.over {
			still = append(still, c)
		} else {
			c.listed = false
		}
	}
	clear(g.keeping[len(still):])
	g.keeping = still
}

// mayFlush writes in the middle of a turn if much has been read or said, so
// that nobody seems slow whom the loop has not come round to.
func (g *Guest) mayFlush() {
	if g.read > backends.FlushAfter || g.cfg.Room.Said()-g.flushedAt > backends.FlushAfter {
		g.flush()
	}
}

// feedWaiting goes on with input that waits: a step of each client in turn, and a
// little of each before the library reads on.
func (g *Guest) feedWaiting() {
	for range feedMost / backends.FeedStep {
		list := g.waiting
		g.waiting = g.spareWaiting[:0]
		for i, c := range list {
			list[i] = nil
			if c.feedRest(); len(c.rest) > 0 {
				g.waiting = append(g.waiting, c)
			} else {
				c.queued = false
			}
		}
		g.spareWaiting = list[:0]
	}
	if len(g.waiting) > 0 {
		g.ring()
	}
}

// forget takes a client that has gone off the list.
func (g *Guest) forget(c *Client) {
	last := len(g.live) - 1
	g.live[c.place] = g.live[last]
	g.live[c.place].place = c.place
	g.live[last] = nil
	g.live = g.live[:last]
}
