package thread

import (
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

const (
	waitSize = 1 << 10 // the buffer that a reader waits with; each has its own
	readSize = 32 << 10
)

// readBuffers are used for input that is larger than waitSize.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readAll feeds the session until the client has ended. Its thread is blocked in recv(2)
// most of the time.
func (c *conn) readAll() {
	why, over := core.ReasonReset, false
	own := make([]byte, waitSize)
	for !over {
		n, err := recv(c.fd, own, 0)
		why, over = c.received(own[:max(n, 0)], err)
		if n == len(own) && !over {
			why, over = c.readMore()
		}
	}
	c.readerEnds(why)
}

// readMore reads what else has arrived, with a larger buffer.
func (c *conn) readMore() (why core.Reason, over bool) {
	buf := readBuffers.Get().(*[readSize]byte)
	defer readBuffers.Put(buf)
	for n := len(buf); n == len(buf) && !over; {
		var err error
		n, err = recv(c.fd, buf[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return 0, false
		}
		why, over = c.received(buf[:max(n, 0)], err)
	}
	return why, over
}

// received handles the result of a recv, and says whether it was the last.
func (c *conn) received(in []byte, err error) (why core.Reason, over bool) {
	switch {
	case len(in) > 0:
		counters := c.server.cfg.Counters
		counters.Reads.Add(1)
		counters.BytesIn.Add(int64(len(in)))
		c.feed(in)
		if c.dropped {
			return c.droppedFor, true
		}
		return core.ReasonReset, c.lingerOver.Load()
	case err == unix.EINTR:
		return 0, false
	case err == nil && !c.lingerOver.Load():
		return core.ReasonEOF, true
	}
	return core.ReasonReset, true
}

// feed feeds the session in steps, between which the writers have their turn. If the session
// is closing it discards the input.
func (c *conn) feed(in []byte) {
	for len(in) > 0 {
		if _, closing := c.session.Closing(); closing {
			return
		}
		n := min(len(in), backends.FeedStep)
		c.session.Feed(in[:n])
		in = in[n:]
		c.server.rounds.pace()
	}
	if c.session.Held() {
		c.waitWhileHeld()
	} else if c.peer.Left() {
		c.droppedFor, c.dropped = c.peer.Expired(time.Now())
	}
}

// waitWhileHeld blocks the reader while its session is Held. It also ends when the session
// is closing, because then input is discarded; when nothing more can be written, because
// then only reading shows how the client ended; and when the client has left and its time is
// over.
func (c *conn) waitWhileHeld() {
	c.readerWaits.Store(true) // before mustWait: the writer does the two in the other order
	for next := c.peer.NextCheck(time.Now()); c.mustWait() && !c.dropped; {
		if c.readerBell.waitUntil(next) {
			continue
		}
		now := time.Now()
		c.droppedFor, c.dropped = c.peer.Check(c.fd, false, now, c.server.cfg.Room.Farewell())
		next = c.peer.NextCheck(now)
	}
	c.readerWaits.Store(false)
}

// mustWait says whether the reader has to wait.
func (c *conn) mustWait() bool {
	_, closing := c.session.Closing()
	return c.session.Held() && !closing && !c.gone.Load() && !c.writerDone.Load()
}

// recv is recv(2); package unix has only recvfrom with an address.
func recv(fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
