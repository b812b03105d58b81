package uring

import (
	"time"

	"chatbench/backends/internal/peerwatch"
)

// PeerWatch implements peerwatch.Conn.
func (c *conn) PeerWatch() *peerwatch.Watch { return &c.peer }

// CheckPeer implements peerwatch.Conn.
func (c *conn) CheckPeer(now time.Time) bool {
	if c.gone || c.finSent || !c.paused && !c.peer.Left() {
		return false
	}
	why, expired := c.peer.Check(c.fd, c.reset, now, c.loop.cfg.Room.Farewell())
	if expired {
		c.loop.drop(c, why)
	}
	return !expired
}
