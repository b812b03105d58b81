package child

import "syscall"

// relay is the state of a child. There is one, and it lies outside of the heap:
// while the child waits it must not be in the way of the runtime.
type relay struct {
	wait     [3]pollFD // the pipe from the parent, the client, the pipe to the parent
	patience syscall.Timespec
	clock    syscall.Timespec
	until    int64 // when to wait no longer, if leaves
	farewell int64 // in nanoseconds
	out      span  // of outBuf: from the parent, to be sent to the client
	in       span  // of inBuf: from the client, to be passed to the parent
	outBuf   [FromParent]byte
	inBuf    [FromClient]byte
	frames   frames

	parent uintptr // its process number

	ended  bool // the parent has said all, and our FIN is sent
	gone   bool // the client has sent FIN
	told   bool // the parent was told one or the other: the pipe to it is closed
	leaves bool // the client has left, and what it sent waits for the parent
	deaf   bool // the client broke the protocol: what it sends is thrown away
	broken bool // the client takes nothing any more: what is for it is thrown away
	reset  bool // and that was no reset after its FIN
}

var only relay

// span is what is not written yet of one read.
type span struct{ from, to int }

//go:nosplit
//go:norace
func (s *span) waits() bool { return s.from < s.to }

// run serves the client on its descriptor until it or the parent is gone. It
// returns the exit code.
func run(maxFrame, parent, farewell int) int {
	r := &only
	r.frames.max, r.parent = maxFrame, uintptr(parent)
	r.farewell = int64(farewell) * 1e6
	for {
		switch r.pump() {
		case clientReady:
			if code, over := r.takeInput(); over {
				return code
			}
			if !r.pass() {
				return Broken
			}
		case parentEnded:
			if r.gone {
				return Finished
			}
			r.ended = true
			_ = syscall.Shutdown(socket, syscall.SHUT_WR)
			r.tell()
		case clientLost:
			// What it sent before is read to the end, which comes soon.
			if r.gone {
				return Finished
			}
			r.broken = true
		case clientLeft:
			r.awaitEnd()
		case clientOverdue:
			if r.reset {
				return Broken
			}
			return Finished
		case parentGone:
			return Broken
		}
	}
}

// awaitEnd limits how long what the client sent may wait for the parent, now that
// the client has left. The error is taken off the socket, and so noted.
func (r *relay) awaitEnd() {
	wait := r.farewell
	errno, _ := syscall.GetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_ERROR)
	r.reset = r.reset || errno != 0 && syscall.Errno(errno) != syscall.EPIPE
	if r.reset {
		wait = min(wait, lookAfter*1e9)
	}
	r.leaves, r.until = true, r.now()+wait
}

// tell closes the pipe to the parent. Nothing that comes from the client now
// would be heard.
func (r *relay) tell() {
	r.told = true
	r.in = span{}
	_ = syscall.Close(toParent)
}

// takeInput takes one read of what the client has sent. over says that the
// child has nothing left to do.
func (r *relay) takeInput() (code int, over bool) {
	n, errno := receiveFrom(socket, &r.inBuf)
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
	case errno != 0:
		return Broken, true
	case n == 0:
		return r.clientFinished()
	case !r.ended && !r.deaf:
		r.deaf = !r.frames.sound(r.inBuf[:n])
		r.in = span{0, n}
	}
	return 0, false
}

// clientFinished takes the client's FIN. If the parent has not said all yet,
// what it says is still sent: a frame that is half sent gets its end.
func (r *relay) clientFinished() (code int, over bool) {
	switch {
	case r.reset:
		return Broken, true
	case r.broken || r.ended:
		return Finished, true
	}
	r.gone = true
	r.tell()
	return 0, false
}
