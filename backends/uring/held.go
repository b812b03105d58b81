package uring

import (
	"time"

	"chatbench/backends/internal/absence"
)

// heldList holds the connections that are not read, or were not when the loop last
// looked: nobody tells the loop that their clients have left.
type heldList struct {
	conns []*conn
	next  time.Time // when to look at them
}

// add puts a connection on the list.
func (h *heldList) add(c *conn) {
	if c.listed {
		return
	}
	c.listed = true
	if len(h.conns) == 0 {
		h.next = time.Now().Add(absence.Every)
	}
	h.conns = append(h.conns, c)
}

// lookAtHeld looks, when it is time, whether clients that are not read have left,
// and drops those whose time is over since.
func (l *loop) lookAtHeld(now time.Time) {
	h := &l.held
	if now.Before(h.next) {
		return
	}
	h.next = now.Add(absence.Every)
	kept := h.conns[:0]
	for _, c := range h.conns {
		if c.listed = l.lookAt(c, now); !c.listed {
			continue
		}
		kept = append(kept, c)
		if next := c.absence.Next(now); next.Before(h.next) {
			h.next = next
		}
	}
	clear(h.conns[len(kept):])
	h.conns = kept
}

// lookAt is false if the connection need not be looked at again: it has ended, or
// it is read, and reading will tell of the client's end.
func (l *loop) lookAt(c *conn, now time.Time) bool {
	if c.gone || c.leaving || !c.paused && !c.absence.Noticed() {
		return false
	}
	why, over := c.absence.Look(c.fd, c.reset, now, l.cfg.Room.Farewell())
	if over {
		l.drop(c, why)
	}
	return !over
}
