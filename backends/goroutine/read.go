package goroutine

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

const readSize = 32 << 10

// readBuffers are shared by all readers. A reader holds one only while there
// is something to read, so that an idle client costs none.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readAll feeds the session until nothing can come any more.
func (c *conn) readAll() {
	reason := core.ReasonReset // if a deadline or cutOff ends it
	c.raw.Read(func(fd uintptr) (done bool) {
		why, done := c.read(int(fd))
		if done {
			reason = why
		}
		return done
	})
	c.readerEnds(reason)
}

// read takes what is there. It reads until there is nothing more even after a
// short read, for a FIN that came along with the bytes is announced but once.
func (c *conn) read(fd int) (why core.Reason, done bool) {
	buf := readBuffers.Get().(*[readSize]byte)
	defer readBuffers.Put(buf)
	counters := c.server.cfg.Counters
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case n > 0:
			counters.Reads.Add(1)
			counters.BytesIn.Add(int64(n))
			if !c.feed(buf[:n], fd) && c.late() {
				return core.ReasonReset, true
			}
			if c.dropped {
				return c.droppedFor, true
			}
		case err == unix.EAGAIN:
			return 0, false
		case err == unix.EINTR:
		case err == nil:
			return core.ReasonEOF, true
		default:
			return core.ReasonReset, true
		}
	}
}

// feed gives the session its bytes, in pieces between which the writers may
// have their turn. It is false once the session is closing: what comes then is
// thrown away.
func (c *conn) feed(in []byte, fd int) (open bool) {
	for len(in) > 0 {
		if _, closing := c.session.Closing(); closing {
			return false
		}
		n := min(len(in), backends.FeedStep)
		c.session.Feed(in[:n])
		in = in[n:]
		c.server.rounds.pace()
	}
	if c.session.Held() {
		c.waitWhileHeld(fd)
	} else if c.absence.Noticed() {
		c.droppedFor, c.dropped = c.absence.Over(time.Now())
	}
	return true
}

// waitWhileHeld keeps the reader from reading on while its session is Held. It ends
// too when the session is to close, for what comes then is thrown away, when nothing
// more can be written, for then only reading shows how the client ended, and when
// the client has left and its time is over.
func (c *conn) waitWhileHeld(fd int) {
	c.readerWaits.Store(true) // before the session is asked: the writer looks in the other order
	now := time.Now()
	next := c.absence.Next(now)
	c.mu.Lock()
	timer := time.AfterFunc(next.Sub(now), c.wakeReader) // which waits for the lock
	for c.mustWait() {
		c.readerCond.Wait()
		if now := time.Now(); !now.Before(next) && c.mustWait() {
			c.droppedFor, c.dropped = c.absence.Look(fd, c.reset.Load(), now, c.server.cfg.Room.Farewell())
			if c.dropped {
				break
			}
			next = c.absence.Next(now)
			timer.Reset(next.Sub(now))
		}
	}
	c.mu.Unlock()
	timer.Stop()
	c.readerWaits.Store(false)
}

// mustWait says whether the reader has to wait. c.mu is held.
func (c *conn) mustWait() bool {
	_, closing := c.session.Closing()
	return c.session.Held() && !closing && !c.gone.Load() && c.writer.state != ended
}

// wakeReader has a reader that waits look again whether it has to.
func (c *conn) wakeReader() {
	if c.readerWaits.Load() {
		c.mu.Lock()
		c.readerCond.Broadcast()
		c.mu.Unlock()
	}
}
