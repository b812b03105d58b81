package goroutine

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

const readSize = 32 << 10

// readBuffers are shared by all readers. A reader has one only while there is something to read,
// so that an idle client costs none.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readAll feeds the session until the client has ended.
func (c *conn) readAll() {
	reason := core.ReasonReset // if a deadline or cutOff ends the read
	c.raw.Read(func(fd uintptr) (done bool) {
		why, done := c.read(int(fd))
		if done {
			reason = why
		}
		return done
	})
	c.readerEnds(reason)
}

// read reads until there is nothing more, even after a short read: a FIN that came together with
// the input is announced only once.
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
			if !c.feed(buf[:n], fd) && c.lingerOver() {
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

// feed feeds the session in steps, between which the writers have their turn. It returns false if
// the session is closing; the input is discarded then.
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
	} else if c.peer.Left() {
		c.droppedFor, c.dropped = c.peer.Expired(time.Now())
	}
	return true
}

// waitWhileHeld blocks the reader while its session is Held. It also ends when the session is
// closing, because then input is discarded; when nothing more can be written, because then only
// reading shows how the client ended; and when the client has left and its time is over.
func (c *conn) waitWhileHeld(fd int) {
	c.readerWaits.Store(true) // before mustWait: the writer does the two in the other order
	now := time.Now()
	next := c.peer.NextCheck(now)
	c.mu.Lock()
	timer := time.AfterFunc(next.Sub(now), c.wakeReader) // it waits for the lock
	for c.mustWait() {
		c.readerCond.Wait()
		if now := time.Now(); !now.Before(next) && c.mustWait() {
			c.droppedFor, c.dropped = c.peer.Check(fd, c.reset.Load(), now, c.server.cfg.Room.Farewell())
			if c.dropped {
				break
			}
			next = c.peer.NextCheck(now)
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

// wakeReader makes a reader that waits check whether it still has to.
func (c *conn) wakeReader() {
	if c.readerWaits.Load() {
		c.mu.Lock()
		c.readerCond.Broadcast()
		c.mu.Unlock()
	}
}
