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
	waitSize = 1 << 10 // what a reader waits with; each has its own
	readSize = 32 << 10
)

// readBuffers are for those who are sent more than they waited with.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readAll feeds the session until nothing can come any more. Its thread is
// blocked in recv(2) most of the time.
func (c *conn) readAll() {
	why, over := core.ReasonReset, false
	own := make([]byte, waitSize)
	for !over {
		n, err := recv(c.fd, own, 0)
		why, over = c.took(own[:max(n, 0)], err)
		if n == len(own) && !over {
			why, over = c.readMore()
		}
	}
	c.readerEnds(why)
}

// readMore takes what else is there, with a larger buffer.
func (c *conn) readMore() (why core.Reason, over bool) {
	buf := readBuffers.Get().(*[readSize]byte)
	defer readBuffers.Put(buf)
	for n := len(buf); n == len(buf) && !over; {
		var err error
		n, err = recv(c.fd, buf[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return 0, false
		}
		why, over = c.took(buf[:max(n, 0)], err)
	}
	return why, over
}

// took feeds what a recv has brought, and says whether it was the last.
func (c *conn) took(in []byte, err error) (why core.Reason, over bool) {
	switch {
	case len(in) > 0:
		counters := c.server.cfg.Counters
		counters.Reads.Add(1)
		counters.BytesIn.Add(int64(len(in)))
		c.feed(in)
		if c.dropped {
			return c.droppedFor, true
		}
		return core.ReasonReset, c.late.Load()
	case err == unix.EINTR:
		return 0, false
	case err == nil && !c.late.Load():
		return core.ReasonEOF, true
	}
	return core.ReasonReset, true
}

// feed gives the session its bytes, in pieces between which the writers may
// have their turn. Once it is closing, what comes is thrown away.
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
	} else if c.absence.Noticed() {
		c.droppedFor, c.dropped = c.absence.Over(time.Now())
	}
}

// waitWhileHeld keeps the reader from reading on while its session is Held. It ends
// too when the session is to close, for what comes then is thrown away, when nothing
// more can be written, for then only reading shows how the client ended, and when
// the client has left and its time is over.
func (c *conn) waitWhileHeld() {
	c.readerWaits.Store(true) // before the session is asked: the writer looks in the other order
	for next := c.absence.Next(time.Now()); c.mustWait() && !c.dropped; {
		if c.readerBell.waitUntil(next) {
			continue
		}
		now := time.Now()
		c.droppedFor, c.dropped = c.absence.Look(c.fd, false, now, c.server.cfg.Room.Farewell())
		next = c.absence.Next(now)
	}
	c.readerWaits.Store(false)
}

// mustWait says whether the reader has to wait.
func (c *conn) mustWait() bool {
	_, closing := c.session.Closing()
	return c.session.Held() && !closing && !c.gone.Load() && !c.writerDone.Load()
}

// recv is recv(2), which package unix has only with an address.
func recv(fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
