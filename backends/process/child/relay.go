package child

import "syscall"

// relay is the state of a child. There is only one, outside of the heap, because pump runs within
// what the runtime takes for a system call.
type relay struct {
	wait     [3]pollFD // the pipe from the parent, the client, the pipe to the parent
	timeout  syscall.Timespec
	clock    syscall.Timespec
	until    int64 // when to stop waiting, if clientLeaving
	farewell int64 // in nanoseconds
	out      span  // of outBuf: from the parent, to be sent to the client
	in       span  // of inBuf: from the client, to be passed to the parent
	outBuf   [FromParent]byte
	inBuf    [FromClient]byte
	frames   frames

	parent uintptr // its process ID

	finSent        bool // the parent has closed its pipe, and our FIN is sent
	clientDone     bool // the client has sent FIN
	toParentClosed bool // the pipe to the parent is closed, after one of the two
	clientLeaving  bool // the client has left, and what it sent waits for the parent
	discardInput   bool // the client broke the protocol
	discardOutput  bool // the client can be sent nothing any more
	reset          bool // the client has reset the connection, and not after a FIN
}

var theRelay relay

// span is the part of one read that is not written yet.
type span struct{ from, to int }

//go:nosplit
//go:norace
func (s *span) waits() bool { return s.from < s.to }

// run serves the client until the client or the parent is gone. It returns the exit code.
func run(maxFrame, parent, farewell int) int {
	r := &theRelay
	r.frames.max, r.parent = maxFrame, uintptr(parent)
	r.farewell = int64(farewell) * 1e6
	for {
		switch r.pump() {
		case clientReady:
			if code, over := r.takeInput(); over {
				return code
			}
			if !r.passOn() {
				return Broken
			}
		case parentEnded:
			if r.clientDone {
				return Finished
			}
			r.finSent = true
			_ = syscall.Shutdown(socket, syscall.SHUT_WR)
			r.closeToParent()
		case clientLost:
			// What it sent before is read to its end, which comes soon.
			if r.clientDone {
				return Finished
			}
			r.discardOutput = true
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

// awaitEnd limits how long input may wait for the parent, now that the client has left. It takes
// the error off the socket, so it has to remember it.
func (r *relay) awaitEnd() {
	wait := r.farewell
	errno, _ := syscall.GetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_ERROR)
	r.reset = r.reset || errno != 0 && syscall.Errno(errno) != syscall.EPIPE
	if r.reset {
		wait = min(wait, lookAfter*1e9)
	}
	r.clientLeaving, r.until = true, r.now()+wait
}

// closeToParent closes the pipe to the parent. Later input of the client is discarded.
func (r *relay) closeToParent() {
	r.toParentClosed = true
	r.in = span{}
	_ = syscall.Close(toParent)
}

// takeInput reads once from the client. over means that the child has to exit with code.
func (r *relay) takeInput() (code int, over bool) {
	n, errno := receiveFrom(socket, &r.inBuf)
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
	case errno != 0:
		return Broken, true
	case n == 0:
		return r.clientFinished()
	case !r.finSent && !r.discardInput:
		r.discardInput = !r.frames.valid(r.inBuf[:n])
		r.in = span{0, n}
	}
	return 0, false
}

// clientFinished handles the client's FIN. What the parent still writes is sent, so that a frame
// is not left incomplete.
func (r *relay) clientFinished() (code int, over bool) {
	switch {
	case r.reset:
		return Broken, true
	case r.discardOutput || r.finSent:
		return Finished, true
	}
	r.clientDone = true
	r.closeToParent()
	return 0, false
}
