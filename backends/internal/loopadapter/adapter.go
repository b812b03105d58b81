// Package loopadapter connects the core to an event loop that a library owns. It is the
// part of a transport that does not depend on the library: it decides what is written to
// whom, and which connection closes when. It works in turns. Ringing requests a turn; the
// library then runs it on its loop's goroutine, after the input that was ready. In a turn
// every client is sent, once, everything it is behind, so the busier the loop is, the more
// messages share a write.
//
// It does not know the library and does not use descriptors. It gives the library only
// one piece of output for a client at a time: the rest stays in the core. In a turn it
// feeds at most 16 KiB of a client's input, and keeps the rest. It cannot stop a library
// from reading a client whose session is Held.
//
// WakeRoom, Wake, ExpectJoin, JoinDone, Client.Ended, Client.Progress and the methods of
// what Serve returns may be called from any goroutine, everything else only on the goroutine of
// the library's loop. One loop has one Adapter.
package loopadapter

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/linger"
	"chatbench/core"
)

const maxFeed = 16 << 10 // octets of one client that are fed in a turn

// Conn is a connection of the library's.
type Conn interface {
	// Send gives the library octets to write and returns how many of them the kernel has
	// taken. The library buffers the rest, and is given nothing more until Sent has
	// reported all of it. After an error nothing can be written any more; the library
	// learns by reading that the client is gone.
	Send(p []byte) (taken int, err error)
	// Sent returns how many more of the buffered octets the kernel has taken.
	Sent() (taken int, err error)
	// Finish sends FIN.
	Finish()
	// Close closes the connection and discards what the library has buffered. Client.Ended
	// is called afterwards.
	Close()
}

// Library is what an Adapter has to know about the library.
type Library struct {
	// Ring makes the library call Turn soon. It is called from any goroutine. The result
	// is false if there is no loop, either not yet or no longer; there must be one when a
	// connection joins.
	Ring func() bool
	// NoCopy means that the library buffers no copy of what it is given, but the core's
	// own octets, which the core must keep meanwhile.
	NoCopy bool
	// PollEvery is for a library that does not call Client.Progress: while something is
	// buffered Conn.Sent is called in every turn, and there is a turn at least so often.
	PollEvery time.Duration
	// MinOffer is how many octets Send is given at most after the library had to buffer
	// some. 0 is 16 KiB, which makes a slow client's progress visible where Sent tells
	// only of everything or nothing.
	MinOffer int
}

// Adapter serves the clients of one loop.
type Adapter struct {
	cfg backends.Config
	lib Library

	// Set by any goroutine.
	rung         atomic.Bool
	roomGrew     atomic.Bool
	expected     atomic.Int64 // accepted and not joined yet
	stopping     atomic.Bool
	cutting      atomic.Bool
	mu           sync.Mutex
	posted       []*Client
	postedClosed bool          // turns have ended: posted is not used any more
	empty        chan struct{} // closed when the adapter is stopping and has no clients

	// Used only by the loop's goroutine.
	live                      []*Client
	withBuffered              []*Client // live clients for which the library has buffered output
	waiting                   []*Client // live clients with input that is not fed yet
	lingering                 linger.Queue[*Client]
	sparePosted, spareWaiting []*Client
	timer                     *time.Timer
	turnTimer                 backends.TurnTimer
	flushedAt                 uint64 // Room.Said when the room was last written out
	read                      int    // octets since the last flush
	turns                     uint32 // number of turns so far
	turning                   bool   // within Turn, where connections may be closed
	flushing                  bool
	stopped                   bool
}

// New makes an Adapter.
func New(cfg backends.Config, lib Library) *Adapter {
	if lib.MinOffer == 0 {
		lib.MinOffer = minOffer
	}
	a := &Adapter{cfg: cfg, lib: lib, empty: make(chan struct{}), turnTimer: cfg.Counters.TurnTimer()}
	a.timer = time.AfterFunc(time.Hour, func() { a.ring() })
	a.timer.Stop()
	return a
}

// ring requests a turn. Further calls before it begins do nothing. It is false if there
// is no loop. (Before the first connection only Server rings, and once more after the last
// one was accepted: so resetting rung loses no ring.)
func (a *Adapter) ring() bool {
	if a.rung.Load() || a.rung.Swap(true) {
		return true
	}
	if !a.lib.Ring() {
		a.rung.Store(false)
		return false
	}
	return true
}

// WakeRoom notes that the log has grown.
func (a *Adapter) WakeRoom() {
	if !a.roomGrew.Load() && !a.roomGrew.Swap(true) {
		a.ring()
	}
}

// Wake notes that a session has output of its own, or must close.
func (a *Adapter) Wake(s *core.Session) { a.post(s.Tag().(*Client)) }

// post has a client handled in the next turn.
func (a *Adapter) post(c *Client) {
	if c.isPosted.Load() || c.isPosted.Swap(true) {
		return
	}
	a.mu.Lock()
	if !a.postedClosed {
		a.posted = append(a.posted, c)
	}
	a.mu.Unlock()
	a.ring()
}

// ExpectJoin announces a connection that was accepted, for libraries that take it over
// later, and requests a turn. The loop then calls Join for it, if it can, and JoinDone in
// any case.
func (a *Adapter) ExpectJoin() {
	a.expected.Add(1)
	a.ring()
}

// JoinDone ends an ExpectJoin: the connection has joined, or will not.
func (a *Adapter) JoinDone() {
	if a.expected.Add(-1) == 0 && a.stopping.Load() {
		a.ring()
	}
}

// Join takes a connection into the room.
func (a *Adapter) Join(peer netip.AddrPort, conn Conn) *Client {
	c := &Client{adapter: a, conn: conn, offer: max(firstOffer, a.lib.MinOffer), index: len(a.live)}
	a.live = append(a.live, c)
	c.session = a.cfg.Room.Join(peer, a, c)
	if _, closing := c.session.Closing(); closing {
		a.post(c) // the core does not wake us for a client that is turned away
	}
	return c
}

// Turn runs a turn.
func (a *Adapter) Turn() {
	a.rung.Store(false) // first: what is noted from here on rings again
	a.turnTimer.Begin()
	defer a.turnTimer.Over()
	a.turns++
	a.turning = true
	defer func() { a.turning = false }()
	if a.cutting.Load() {
		for i := len(a.live) - 1; i >= 0; i-- { // cut may remove the client from the list
			a.live[i].cut()
		}
	}
	a.flush()
	a.feedWaiting()
	now := time.Time{}
	if a.lingering.Len() > 0 {
		now = time.Now()
		for c, ok := a.lingering.Pop(now); ok; c, ok = a.lingering.Pop(now) {
			c.end(core.ReasonReset)
		}
	}
	if a.stopping.Load() && a.expected.Load() == 0 && len(a.live) == 0 && !a.stopped {
		a.stopped = true
		a.mu.Lock()
		a.posted, a.postedClosed = nil, true
		a.mu.Unlock()
		close(a.empty)
	}
	a.setTimer(now)
}

// setTimer requests a turn for when something is due.
func (a *Adapter) setTimer(now time.Time) {
	wait := time.Duration(0)
	if a.lingering.Len() > 0 {
		wait = max(a.lingering.First().Sub(now), time.Millisecond)
	}
	if len(a.withBuffered) > 0 {
		wait = a.lib.PollEvery
	}
	if wait > 0 {
		a.timer.Reset(wait)
	}
}

// flush sends every client, once, everything it is behind, and handles the clients that
// were posted.
func (a *Adapter) flush() {
	if a.flushing {
		return // called by the library within a write
	}
	a.flushing = true
	defer func() { a.flushing = false }()
	a.read = 0
	a.pollBuffered()
	if a.roomGrew.Load() {
		a.roomGrew.Store(false) // before the log is read: what comes later wakes again
		a.flushedAt = a.cfg.Room.Said()
		for _, c := range a.live {
			c.write()
		}
	}
	a.mu.Lock()
	posted := a.posted
	a.posted = a.sparePosted
	a.mu.Unlock()
	for i, c := range posted {
		c.isPosted.Store(false)
		posted[i] = nil
		c.handle()
	}
	a.sparePosted = posted[:0]
}

// pollBuffered asks how much of the buffered output was sent.
func (a *Adapter) pollBuffered() {
	still := a.withBuffered[:0]
	for _, c := range a.withBuffered {
		c.pollSent()
		if c.buffered > 0 && !c.closed {
			still = append(still, c)
		} else {
			c.listed = false
		}
	}
	clear(a.withBuffered[len(still):])
	a.withBuffered = still
}

// mayFlush writes in the middle of a turn if much has been read or said. Otherwise clients
// that the loop has not written to yet would count as slow.
func (a *Adapter) mayFlush() {
	if a.read > backends.FlushAfter || a.cfg.Room.Said()-a.flushedAt > backends.FlushAfter {
		a.flush()
	}
}

// feedWaiting feeds input that waits: steps of all clients in turn, up to maxFeed octets
// of each before the library reads on.
func (a *Adapter) feedWaiting() {
	for range maxFeed / backends.FeedStep {
		waiting := a.waiting
		a.waiting = a.spareWaiting[:0]
		for i, c := range waiting {
			waiting[i] = nil
			if c.feedRest(); len(c.unfed) > 0 {
				a.waiting = append(a.waiting, c)
			} else {
				c.queued = false
			}
		}
		a.spareWaiting = waiting[:0]
	}
	if len(a.waiting) > 0 {
		a.ring()
	}
}

// remove takes a client that has left off the list.
func (a *Adapter) remove(c *Client) {
	last := len(a.live) - 1
	a.live[c.index] = a.live[last]
	a.live[c.index].index = c.index
	a.live[last] = nil
	a.live = a.live[:last]
}
