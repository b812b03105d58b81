package goroutine

import (
	"errors"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

// writerState is the state of a connection's writer.
type writerState uint8

const (
	writing      writerState = iota // it writes
	writingAgain                    // it writes, and was woken since it last asked for output
	parked                          // it has nothing to write, and no goroutine
	stalled                         // it waits for the client to take something
	ended                           // it has ended
)

// writer is the writing half of a connection. It has a goroutine only while there is output. That
// goroutine owns the fields after inRound.
type writer struct {
	state        writerState           // under conn.mu
	inRound      bool                  // the round waits for it; under conn.mu
	writeAllFunc func()                // conn.writeAll and conn.write, as values that are made
	writeFunc    func(fd uintptr) bool // only once, so that a turn allocates nothing
	over         bool                  // nothing will be written any more
	wasStalled   bool                  // state is stalled, or was before the poller woke it
	written      int                   // octets in this turn
}

// wake gives the writer its turn in the round that begins. Only rounds calls it. A stalled writer
// is not woken: it asks for output anyway when its client takes something.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch w := &c.writer; w.state {
	case writing:
		w.state = writingAgain
	case parked:
		w.state, w.inRound = writing, true
		c.server.rounds.join()
		go w.writeAllFunc()
	}
}

// writeAll is a writer's turn, on a goroutine of its own.
func (c *conn) writeAll() {
	if over := c.writeTurn(); over {
		c.writerEnds()
	}
}

// writeTurn writes until there is no output. over means that there never will be any.
func (c *conn) writeTurn() (over bool) {
	w := &c.writer
	w.written = 0
	for {
		err := c.raw.Write(w.writeFunc)
		c.resume()
		switch {
		case err == nil && w.over:
			c.linger()
			return true
		case err == nil:
			if c.park() {
				return false
			}
		case errors.Is(err, os.ErrDeadlineExceeded): // by wakeStalledWriter
			c.net.SetWriteDeadline(time.Time{}) // before the writer asks for output: a later call sets it again
		default: // the connection was closed
			return true
		}
	}
}

// write writes until there is no output, or until the client takes no more. Then it returns false,
// and is called again when the client has taken some.
func (c *conn) write(fd uintptr) (done bool) {
	c.resume()
	w, counters := &c.writer, c.server.cfg.Counters
	for !c.gone.Load() {
		_, closing := c.session.Closing()
		out := c.session.Next()
		c.wakeReader() // Next may have fed the input that waited
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
				c.leaveRoundIfMuch()
				continue
			}
		case err == unix.EINTR:
			continue
		case err != unix.EAGAIN:
			// The reader goes on, because input may still be unread. The kernel reports a
			// reset only once. A reset after a FIN is EPIPE.
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

// park ends a turn. It returns false if the writer was woken meanwhile, or its reader has ended: then it
// has to go on, and finds out what to write, or that it is over.
func (c *conn) park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer.state == writingAgain || c.readerDone {
		c.writer.state = writing
		return false
	}
	c.writer.state = parked
	c.leaveRound()
	return true
}

// stall lets the round end without this writer, which waits for its client.
func (c *conn) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.state, c.writer.wasStalled = stalled, true
	c.leaveRound()
}

// resume ends the stalled state.
func (c *conn) resume() {
	if !c.writer.wasStalled {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writer.state, c.writer.wasStalled = writing, false
}

// leaveRoundIfMuch lets the round end without this writer if it has written much: a client that is
// sent file frames without a pause always has more, and must not keep the others from the next
// round.
func (c *conn) leaveRoundIfMuch() {
	if c.writer.written < backends.FlushAfter {
		return
	}
	c.writer.written = math.MinInt // only once in a turn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveRound()
}

// leaveRound tells the round not to wait for this writer. c.mu is held.
func (c *conn) leaveRound() {
	if c.writer.inRound {
		c.writer.inRound = false
		c.server.rounds.leave()
	}
}
