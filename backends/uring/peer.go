package uring

import (
	"time"

	"chatbench/backends/internal/peerwatch"
	"chatbench/backends/internal/socket"
)

// PeerWatch implements peerwatch.Conn.
func (c *conn) PeerWatch() *peerwatch.Watch { return &c.peer }

// CheckPeer implements peerwatch.Conn. It checks clients that are not read, and those that have sent
// something since the last check: see "What a receive can miss".
func (c *conn) CheckPeer(now time.Time) bool {
	if c.gone || c.finSent || c.loop.dropIfFinished(c) {
		return false
	}
	if !c.paused && !c.peer.Left() {
		missed := c.receiving && socket.PeerHasLeft(c.fd)
		if missed {
			c.loop.stopReceiving(c) // and the next one reports the end
		}
		return missed
	}
	why, expired := c.peer.Check(c.fd, c.reset, now, c.loop.cfg.Room.Farewell())
	if expired {
		c.loop.drop(c, why)
	}
	return !expired
}
