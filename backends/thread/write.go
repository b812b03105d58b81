package thread

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends"
)

const (
	// sendSize is how much is sent at once to a client that does not take all
	// it is sent: while a thread is blocked, the room does not know how much
	// of that was taken.
	sendSize = 16 << 10
	// sendTime is how long a thread is blocked in send(2) before it looks
	// whether its session has ended meanwhile.
	sendTime = 250 * time.Millisecond
)

// writeAll writes what the session has, whenever it has something, and lets go
// of the connection in the end.
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

// sleep waits for a round, or for something of the session's own.
func (c *conn) sleep() {
	rounds := c.server.rounds
	for !c.bell.take() {
		open := rounds.open.Load()
		if c.place.called(open) {
			return
		}
		if c.bell.lie() {
			c.words.sleepOnBoth(&rounds.open, open, &c.bell.word, asleep)
			c.bell.rise()
		}
	}
}

// writeTurn writes until nothing waits. over says that nothing ever will.
func (c *conn) writeTurn() (over bool) {
	written, apart := 0, false // apart: it has no place, and no round waits for it
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
			if !apart {
				return false
			}
			apart = false // and with its place in the round taken it has to look again
			c.place.take()
			continue
		}
		n, err := c.send(out, unix.MSG_DONTWAIT)
		c.wrote(n)
		if written += max(n, 0); written > backends.FlushAfter && !apart {
			// Somebody who is sent file frames without a pause has always more,
			// and others wait for the next round.
			apart = true
			c.leaveRounds()
		}
		if n == len(out) || err == unix.EINTR {
			continue
		}
		if n < 0 && err != unix.EAGAIN {
			c.session.WriteFailed()
			return true // the reader goes on: what the client sent before is still there
		}
		apart = true
		if n < 0 {
			c.session.Wrote(0)
		}
		c.server.cfg.Counters.Stalls.Add(1)
		c.leaveRounds()
		if !c.press(c.session.Next()) {
			c.session.WriteFailed()
			return true
		}
	}
	return true
}

// leaveRounds lets this round and the next end without this writer.
func (c *conn) leaveRounds() {
	c.place.leave()
	c.place.give()
}

// press sends with the thread blocked until the client has taken a piece. It
// is false if nothing can be written any more.
func (c *conn) press(out []byte) bool {
	n, err := c.send(out[:min(len(out), sendSize)], 0)
	c.wrote(n)
	return n >= 0 || err == unix.EAGAIN || err == unix.EINTR
}

// wrote reports what the kernel took.
func (c *conn) wrote(n int) {
	if n > 0 {
		counters := c.server.cfg.Counters
		counters.Writes.Add(1)
		counters.BytesOut.Add(int64(n))
		c.session.Wrote(n)
	}
}

// send is send(2), which package unix has only with an address. The kernel tells
// of a reset only once, of which the reader then does not learn; one that comes
// after a FIN is EPIPE.
func (c *conn) send(p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(c.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		c.reset = c.reset || errno == unix.ECONNRESET
		return -1, errno
	}
	return int(n), nil
}
