package evio

import (
	"time"

	lib "github.com/tidwall/evio"

	"chatbench/backends"
)

// stillTurns is after how many turns in which nothing was sent it is asked who
// is stalled: evio sends in the turn after it was handed something.
const stillTurns = 2

// turn is the bell's: it keeps the rounds going.
func (l *loop) turn() lib.Action {
	l.bell.answer()
	l.readMail()
	l.look()
	if l.dirty.Load() && l.round == 0 {
		l.begin()
	}
	l.feedStashed()
	l.endLingering()
	if l.ended() {
		return lib.Shutdown
	}
	l.setAlarm()
	if len(l.open) > l.stalls || len(l.stashed) > 0 {
		l.bell.ring()
	}
	return lib.None
}

// readMail calls those whom the room has woken.
func (l *loop) readMail() {
	l.mu.Lock()
	mail := l.mail
	l.mail = l.spareMail
	l.mu.Unlock()
	for i, c := range mail {
		c.mailed.Store(false)
		mail[i] = nil
		c.private = true
		if c.gone {
			continue
		}
		if l.list(c); c.view.unsent() > 0 {
			c.more = true
		} else {
			c.call()
		}
	}
	l.spareMail = mail[:0]
}

// begin begins a round: each client that takes anything is handed all that it
// is behind.
func (l *loop) begin() {
	l.dirty.Store(false) // before the log is read: what comes later wakes again
	l.mark = l.cfg.Room.Said()
	for _, c := range l.live {
		switch {
		case c.fin:
		case c.stalled || len(c.stash) > stashSize:
			c.more = true
			l.list(c)
		default:
			c.inRound = true
			l.round++
			l.list(c)
			if c.view.unsent() == 0 {
				c.call()
			} else {
				c.more = true
			}
		}
	}
}

// list keeps an eye on a connection until nothing of it is under way.
func (l *loop) list(c *conn) {
	if !c.listed {
		c.listed = true
		l.open = append(l.open, c)
	}
}

// look finds out what evio has sent, and calls those that have more.
func (l *loop) look() {
	moved := false
	list := l.open[:0]
	for _, c := range l.open {
		held := c.held
		keep := !c.gone && l.lookAt(c)
		moved = moved || c.fresh || c.held < held || c.called
		c.fresh = false
		if keep {
			list = append(list, c)
			continue
		}
		c.listed = false
		l.settled(c)
	}
	clear(l.open[len(list):])
	l.open = list
	l.still++
	if moved {
		l.still = 0
	}
	l.lookAtStalled()
}

// lookAtStalled finds out who is stalled, and looks after those who are. While
// some move evio may not have tried the others yet.
func (l *loop) lookAtStalled() {
	if l.still >= stillTurns {
		for _, c := range l.open {
			if !c.stalled && c.held > 0 && !c.view.writable() {
				c.stall()
				l.settled(c)
			}
		}
	}
	if l.stalls == 0 {
		return
	}
	if now := time.Now(); now.Sub(l.endured) >= retryTime {
		l.endured = now
		for _, c := range l.open {
			if c.stalled {
				c.endure()
			}
		}
	}
}

// lookAt says whether something of a connection is under way.
func (l *loop) lookAt(c *conn) bool {
	if c.settle() > 0 {
		return true
	}
	if c.stalled {
		c.stalled = false
		l.stalls--
	}
	if c.at >= l.mark {
		l.settled(c) // it has what the round is about; what it is sent next is its own affair
	}
	switch {
	case !c.more:
	case len(c.stash) <= stashSize:
		c.more = false
		c.call()
	default: // its input waits for the next round, so this one must not wait for it
		l.settled(c)
	}
	return c.more || c.called
}

// settled lets the round go on without a connection.
func (l *loop) settled(c *conn) {
	if c.inRound {
		c.inRound = false
		l.round--
	}
}

// feed gives a session a little of its input, and nothing once much is said since
// the round began. It returns what is left.
func (l *loop) feed(c *conn, in []byte) []byte {
	for fed := 0; len(in) > 0 && fed < feedMost && l.mayFeed(); fed += backends.FeedStep {
		in = c.step(in)
	}
	return in
}

// mayFeed says whether the room may say more before the next round begins.
func (l *loop) mayFeed() bool { return l.cfg.Room.Said()-l.mark < backends.FlushAfter }

// step feeds a session one step of its input, and returns what is left.
func (c *conn) step(in []byte) []byte {
	n := min(len(in), backends.FeedStep)
	c.session.Feed(in[:n])
	return in[n:]
}

// feedStashed goes on with input that had to wait: a step of each client in turn,
// and a little of each before others are read.
func (l *loop) feedStashed() {
	if l.round == 0 && !l.dirty.Load() {
		l.mark = l.cfg.Room.Said() // all that was said is handed
	}
	for steps := len(l.stashed) * feedMost / backends.FeedStep; steps > 0 && len(l.stashed) > 0 && l.mayFeed(); steps-- {
		c := l.stashed[0]
		l.stashed[0] = nil
		l.stashed = l.stashed[1:]
		if _, closing := c.session.Closing(); closing {
			c.stash = c.stash[:0] // thrown away
		}
		if len(c.stash) > 0 {
			c.stash = c.step(c.stash)
		}
		if c.parting {
			c.discard()
		}
		if len(c.stash) > 0 {
			l.stashed = append(l.stashed, c)
			continue
		}
		c.queued = false
		switch {
		case c.parting:
			l.leave(c)
		case c.stash != nil && !c.gone:
			c.stash = nil
			c.watch()
		}
	}
}
