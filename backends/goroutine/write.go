package goroutine

import (
	"errors"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// What a connection's writer is doing.
type writerState uint8

const (
	writing writerState = iota // it writes what there is
	again                      // and more may have come since it looked
	parked                     // nothing waits: it has no goroutine
	stalled                    // it waits for the client to take something
	ended                      // it is no more
)

// writer is the writing half of a connection. There is a goroutine for it only
// while there is output; that goroutine owns what follows state and inRound.
type writer struct {
	state   writerState           // under conn.mu
	inRound bool                  // the round waits for it; under conn.mu
	run     func()                // conn.writeAll and conn.write, as values made
	give    func(fd uintptr) bool // once, so that a turn allocates nothing
	over    bool                  // nothing is to be written any more
	waited  bool                  // it has been stalled
	written int                   // octets in this turn
}

// wake gives the writer its turn in the round that is beginning. Only rounds
// calls it. A writer that is stalled is left alone: it looks anyway, when its
// client takes something.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch w := &c.writer; w.state {
	case writing:
		w.state = again
	case parked:
		w.state, w.inRound = writing, true
		c.server.rounds.join()
		go w.run()
	}
}

// writeAll is a writer's turn, on a goroutine of its own.
func (c *conn) writeAll() {
	if over := c.writeTurn(); over {
		c.writerEnds()
	}
}

// writeTurn writes until nothing waits. over says that nothing ever will.
func (c *conn) writeTurn() (over bool) {
	w := &c.writer
	w.written = 0
	for {
		err := c.raw.Write(w.give)
		c.resume()
		switch {
		case err == nil && w.over:
			c.linger()
			return true
		case err == nil:
			if c.park() {
				return false
			}
		case errors.Is(err, os.ErrDeadlineExceeded): // it was urged
			c.net.SetWriteDeadline(time.Time{}) // before it looks: what comes later urges again
		default: // cut off
			return true
		}
	}
}

// write writes until nothing waits, or until the client takes no more: then it
// is not done, and is called again when the client has taken some.
func (c *conn) write(fd uintptr) (done bool) {
	c.resume()
	w, counters := &c.writer, c.server.cfg.Counters
	for !c.gone.Load() {
		_, closing := c.session.Closing()
		out := c.session.Next()
		c.wakeReader() // Next may have worked through what waited
		if out == nil {
			if closing {
				w.over = true
				unix.Shutdown(int(fd), unix.SHUT_WR)
			}
			return true
		}
		n, err := unix.Write(int(fd), out)
		switch {
		case n > 0:
			counters.Writes.Add(1)
			counters.BytesOut.Add(int64(n))
			c.session.Wrote(n)
			if w.written += n; n == len(out) {
				c.mayLeaveRound()
				continue
			}
		case err == unix.EINTR:
			continue
		case err != unix.EAGAIN:
			// The reader goes on: what the client sent before is still there.
			// The kernel tells of a reset only once; one after a FIN is EPIPE.
			c.reset.Store(err == unix.ECONNRESET)
			c.session.WriteFailed()
			w.over = true
			return true
		default:
			c.session.Wrote(0)
		}
		counters.Stalls.Add(1)
		c.stall()
		return false
	}
	w.over = true
	return true
}

// park ends a turn. It is false if there may be more to write already.
func (c *conn) park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer.state == again {
		c.writer.state = writing
		return false
	}
	c.writer.state = parked
	c.leaveRound()
	return true
}

// stall ends a turn for the round, though not all is written.
func (c *conn) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.state, c.writer.waited = stalled, true
	c.leaveRound()
}

// resume follows a stall.
func (c *conn) resume() {
	if !c.writer.waited {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.state, c.writer.waited = writing, false
}

// mayLeaveRound ends a turn for the round if much was written: somebody who is
// sent file frames without a pause has always more, and others wait for the next.
func (c *conn) mayLeaveRound() {
	if c.writer.written < backends.FlushAfter {
		return
	}
	c.writer.written = math.MinInt // once a turn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveRound()
}

// leaveRound lets the round end without this writer. c.mu is held.
func (c *conn) leaveRound() {
	if c.writer.inRound {
		c.writer.inRound = false
		c.server.rounds.leave()
	}
}
