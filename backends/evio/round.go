package evio

import (
	"time"

	lib "github.com/tidwall/evio"

	"chatbench/backends"
)

// maxIdleTurns is after how many turns without progress stalled clients are looked for. evio
// sends in the turn after it was given something.
const maxIdleTurns = 2

// turn is run when the bell was rung. It keeps the rounds going.
func (l *loop) turn() lib.Action {
	l.bell.beginTurn()
	l.handleWakes()
	l.look()
	if l.roomGrew.Load() && l.round == 0 {
		l.begin()
	}
	l.feedWaiting()
	l.endLingering()
	if l.ended() {
		return lib.Shutdown
	}
	l.setAlarm()
	if len(l.open) > l.stalls || len(l.waiting) > 0 {
		l.bell.ring()
	}
	return lib.None
}

// handleWakes requests Data for the sessions that the room has woken.
func (l *loop) handleWakes() {
	l.mu.Lock()
	wakes := l.wakes
	l.wakes = l.spareWakes
	l.mu.Unlock()
	for i, c := range wakes {
		c.inWakes.Store(false)
		wakes[i] = nil
		c.private = true
		if c.gone {
			continue
		}
		if l.list(c); c.view.unsent() > 0 {
			c.hasMore = true
		} else {
			c.requestData()
		}
	}
	l.spareWakes = wakes[:0]
}

// begin begins a round: each client that takes anything is given everything it is behind.
func (l *loop) begin() {
	l.roomGrew.Store(false) // before the log is read: what comes later wakes again
	l.roundStart = l.cfg.Room.Said()
	for _, c := range l.live {
		switch {
		case c.fin:
		case c.stalled || len(c.unfed) > maxUnfed:
			c.hasMore = true
			l.list(c)
		default:
			c.inRound = true
			l.round++
			l.list(c)
			if c.view.unsent() == 0 {
				c.requestData()
			} else {
				c.hasMore = true
			}
		}
	}
}

// list has look check a connection until none of its output is under way.
func (l *loop) list(c *conn) {
	if !c.listed {
		c.listed = true
		l.open = append(l.open, c)
	}
}

// look finds out what evio has sent, and requests Data for clients that have more.
func (l *loop) look() {
	moved := false
	list := l.open[:0]
	for _, c := range l.open {
		buffered := c.buffered
		keep := !c.gone && l.lookAt(c)
		moved = moved || c.justHanded || c.buffered < buffered || c.dataRequested
		c.justHanded = false
		if keep {
			list = append(list, c)
			continue
		}
		c.listed = false
		l.settled(c)
	}
	clear(l.open[len(list):])
	l.open = list
	l.idleTurns++
	if moved {
		l.idleTurns = 0
	}
	l.lookAtStalled()
}

// lookAtStalled finds out who is stalled, and polls stalled clients. While some make progress
// evio may not have tried the others yet.
func (l *loop) lookAtStalled() {
	if l.idleTurns >= maxIdleTurns {
		for _, c := range l.open {
			if !c.stalled && c.buffered > 0 && !c.view.writable() {
				c.stall()
				l.settled(c)
			}
		}
	}
	if l.stalls == 0 {
		return
	}
	if now := time.Now(); now.Sub(l.polledAt) >= pollStalledEvery {
		l.polledAt = now
		for _, c := range l.open {
			if c.stalled {
				c.pollStalled()
			}
		}
	}
}

// lookAt says whether output of a connection is under way.
func (l *loop) lookAt(c *conn) bool {
	if c.settle() > 0 {
		return true
	}
	if c.stalled {
		c.stalled = false
		l.stalls--
	}
	if c.handedTo >= l.roundStart {
		l.settled(c) // it has everything that was said before the round began
	}
	switch {
	case !c.hasMore:
	case len(c.unfed) <= maxUnfed:
		c.hasMore = false
		c.requestData()
	default: // its input waits for the next round, so this round must not wait for it
		l.settled(c)
	}
	return c.hasMore || c.dataRequested
}

// settled lets the round go on without a connection.
func (l *loop) settled(c *conn) {
	if c.inRound {
		c.inRound = false
		l.round--
	}
}

// feed feeds a session up to maxFeed octets of input, and nothing once much was said since the
// round began. It returns the rest.
func (l *loop) feed(c *conn, in []byte) []byte {
	for fed := 0; len(in) > 0 && fed < maxFeed && l.mayFeed(); fed += backends.FeedStep {
		in = c.step(in)
	}
	return in
}

// mayFeed says whether the room may say more before the next round begins.
func (l *loop) mayFeed() bool { return l.cfg.Room.Said()-l.roundStart < backends.FlushAfter }

// step feeds a session one step of input, and returns the rest.
func (c *conn) step(in []byte) []byte {
	n := min(len(in), backends.FeedStep)
	c.session.Feed(in[:n])
	return in[n:]
}

// feedWaiting feeds input that had to wait: steps of all clients in turn, up to maxFeed octets
// of each before others are read.
func (l *loop) feedWaiting() {
	if l.round == 0 && !l.roomGrew.Load() {
		l.roundStart = l.cfg.Room.Said() // everything that was said is sent or given to evio
	}
	for steps := len(l.waiting) * maxFeed / backends.FeedStep; steps > 0 && len(l.waiting) > 0 && l.mayFeed(); steps-- {
		c := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if _, closing := c.session.Closing(); closing {
			c.unfed = c.unfed[:0] // discard it
		}
		if len(c.unfed) > 0 {
			c.unfed = c.step(c.unfed)
		}
		if c.closedUnfed {
			c.discard()
		}
		if len(c.unfed) > 0 {
			l.waiting = append(l.waiting, c)
			continue
		}
		c.queued = false
		switch {
		case c.closedUnfed:
			l.leave(c)
		case c.unfed != nil && !c.gone:
			c.unfed = nil
			c.watch()
		}
	}
}
