package readiness

import (
	"time"

	"chatbench/backends/internal/absence"
)

// Absence is what is known of its client while it is not read: for absence.List.
func (c *conn) Absence() *absence.Watch { return &c.absence }

// Stays is for absence.List.
func (c *conn) Stays(now time.Time) bool {
	if c.gone || c.leaving || !c.paused && !c.absence.Noticed() {
		return false
	}
	why, over := c.absence.Look(c.id.FD(), c.reset, now, c.loop.cfg.Room.Farewell())
	if over {
		c.loop.drop(c, why)
	}
	return !over
}
