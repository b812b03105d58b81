package gnet

import (
	"time"

	"chatbench/core"
)

// retryTime is how often a client is looked at for which gnet holds octets.
const retryTime = 5 * time.Millisecond

// close ends a connection at once. OnClose is called within.
func (l *loop) close(c *conn) {
	if err := c.gnet.EventLoop().Close(c.gnet); err != nil {
		l.lines.Error(l.cfg.Log, "a connection was closed in disorder", "backend", name, "err", err)
	}
}

// cutAll ends all connections at once, those too that are gone and not left.
func (l *loop) cutAll(why error) {
	l.cut = why
	for len(l.live) > 0 {
		l.close(l.live[len(l.live)-1])
	}
	parting := l.parting
	l.parting = nil
	for _, c := range parting {
		c.why = core.ReasonCut
		l.leave(c)
	}
}

// endLingering closes the connections that have had their time.
func (l *loop) endLingering() {
	if l.lingering.Len() == 0 {
		return
	}
	now := time.Now()
	for c, ok := l.lingering.Pop(now); ok; c, ok = l.lingering.Pop(now) {
		l.close(c)
	}
}

// setAlarm has the bell rung when something is due that no event announces.
func (l *loop) setAlarm() {
	var wait time.Duration
	switch {
	case len(l.lagging) > 0:
		wait = retryTime
	case l.lingering.Len() > 0:
		wait = max(time.Until(l.lingering.First()), time.Millisecond)
	default:
		return
	}
	l.alarm.Reset(wait)
}

// finished says that the loop has no more to do.
func (l *loop) finished() {
	if !l.over {
		l.over = true
		l.alarm.Stop()
		l.mu.Lock()
		l.mail, l.mailClosed = nil, true
		l.mu.Unlock()
		close(l.empty)
	}
}

// Gone says whether the connection has ended.
func (c *conn) Gone() bool { return c.gnet == nil }
