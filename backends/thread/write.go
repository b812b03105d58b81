package thread

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

const (
	// sendSize is how many octets a blocking send is given. While the thread is blocked the
	// room does not know how many of them were taken.
	sendSize = 16 << 10
	// sendTime is how long a thread blocks in send(2) before it checks whether its session
	// has ended.
	sendTime = 250 * time.Millisecond
)

// writeAll is the writer: it writes whatever the session has, and in the end closes the
// connection.
func (c *conn) writeAll() {
	p := &c.place
	for {
		p.take()
		over := c.writeTurn()
		p.leave()
		if over {
			break
		}
		c.sleep()
	}
	p.give()
	c.writerDone.Store(true)
	c.readerBell.ring()
	c.linger()
	c.end()
}

// sleep waits for a round, or for output of the session's own.
func (c *conn) sleep() {
	rounds := c.server.rounds
	for !c.bell.take() {
		open := rounds.open.Load()
		if c.place.called(open) {
			return
		}
		if c.bell.prepareSleep() {
			c.futexWords.sleepOnBoth(&rounds.open, open, &c.bell.word, asleep)
			c.bell.doneSleeping()
		}
	}
}

// writeTurn writes until nothing is left to write. over means that nothing ever will be.
func (c *conn) writeTurn() (over bool) {
	written, outside := 0, false // outside: it has no place, and no round waits for it
	for !c.gone.Load() {
		_, closing := c.session.Closing()
		out := c.session.Next()
		if c.readerWaits.Load() {
			c.readerBell.ring() // Next may have worked through what waited
		}
		if out == nil {
			if closing {
				_ = unix.Shutdown(c.fd, unix.SHUT_WR)
				return true
			}
			if !outside {
				return false
			}
			outside = false // after it has taken its place it has to look again
			c.place.take()
			continue
		}
		n, err := c.send(out, unix.MSG_DONTWAIT)
		c.wrote(n)
		if written += max(n, 0); written > backends.FlushAfter && !outside {
			// A client that is sent file frames without a pause always has more, and must
			// not keep the others from their next round.
			outside = true
			c.leaveRounds()
		}
		if n == len(out) || err == unix.EINTR {
			continue
		}
		if n < 0 && err != unix.EAGAIN {
			c.session.WriteFailed()
			return true // the reader goes on: input may still be unread
		}
		outside = true
		if n < 0 {
			c.session.Wrote(0)
		}
		c.server.cfg.Counters.Stalls.Add(1)
		c.leaveRounds()
		if !c.sendBlocking(c.session.Next()) {
			c.session.WriteFailed()
			return true
		}
	}
	return true
}

// leaveRounds leaves the open round and the place in the next one.
func (c *conn) leaveRounds() {
	c.place.leave()
	c.place.give()
}

// sendBlocking blocks the thread until the client has taken a piece. It is false if nothing
// can be written any more.
func (c *conn) sendBlocking(out []byte) bool {
	n, err := c.send(out[:min(len(out), sendSize)], 0)
	c.wrote(n)
	return n >= 0 || err == unix.EAGAIN || err == unix.EINTR
}

// wrote reports n octets that the kernel took.
func (c *conn) wrote(n int) {
	if n > 0 {
		counters := c.server.cfg.Counters
		counters.Writes.Add(1)
		counters.BytesOut.Add(int64(n))
		c.session.Wrote(n)
	}
}

// send is send(2); package unix has only sendto with an address. The kernel reports a reset
// only once, so the reader does not see one that a send reported. A reset after a FIN is
// EPIPE.
func (c *conn) send(p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(c.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		c.reset = c.reset || errno == unix.ECONNRESET
		return -1, errno
	}
	return int(n), nil
}
