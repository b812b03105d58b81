package child

import (
	"syscall"
	"unsafe"
)

// event is why pump returned.
type event int

const (
	nothing       event = iota
	clientReady         // the client can be read: input, its end, or an error
	clientLost          // the client can be sent nothing any more
	clientLeft          // the client has left, and what it sent waits for the parent
	clientOverdue       // the same, and the time to wait is over
	parentEnded         // the parent has closed its pipe, and everything from it is sent
	parentGone
)

// lookAfter is how often to check, in seconds, whether the parent still exists, when no pipe
// shows it.
const lookAfter = 1

// pollFD is struct pollfd. The kernel ignores one with a negative fd, and always reports errors
// and hang-ups.
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

const (
	pollIn    = 1
	pollOut   = 4
	pollError = 8
	pollLeft  = 0x2000 | pollError | 16 // POLLRDHUP, POLLERR, POLLHUP
)

// Package syscall enters and leaves each system call with these; pump does so once for many.
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// pump sends the client what the parent writes, until there is something else to do.
//
// For the runtime all of it is one long system call. If each wait were a system call of its own,
// the runtime would take the processor away and give it back each time, and wake its monitor
// thread, which then polls for a while: 45 µs of CPU for a delivery instead of 12, which is as
// much as in C. The price: nothing called from here may allocate, grow the stack or use the
// runtime in any other way.
//
//go:nosplit
//go:norace
func (r *relay) pump() event {
	entersyscall()
	e := nothing
	for e == nothing {
		e = r.turn()
	}
	exitsyscall()
	return e
}

// turn waits once, and moves the octets that can be moved.
//
//go:nosplit
//go:norace
func (r *relay) turn() event {
	count, timeout := r.prepare()
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&r.wait)), count, timeout, 0, 0, 0)
	if errno != 0 {
		return nothing // a signal
	}
	if r.clientLeaving && r.now() >= r.until {
		return clientOverdue
	}
	if n == 0 {
		if parent, _, _ := syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0); parent != r.parent {
			return parentGone
		}
		return nothing
	}
	if count > 2 && r.wait[2].revents != 0 {
		if r.wait[2].revents&pollError != 0 || !r.passOn() {
			return parentGone
		}
	}
	if r.wait[0].revents != 0 {
		if e := r.readParent(); e != nothing {
			return e
		}
	}
	if r.out.waits() {
		if e := r.send(); e != nothing {
			return e
		}
	}
	if r.in.waits() && !r.clientLeaving && r.wait[1].revents&pollLeft != 0 {
		return clientLeft
	}
	if r.wait[1].revents&^pollOut != 0 && !r.in.waits() && !r.clientDone {
		return clientReady
	}
	return nothing
}

// prepare sets what is waited for, and for how long. In each direction, what was read has to be
// written before the next read. While nothing is read from the parent, the other pipe shows
// whether the parent still exists, or a timeout if that pipe is closed. While the pipe to the
// parent is full, the client is watched for its end, once.
//
//go:nosplit
//go:norace
func (r *relay) prepare() (count, timeout uintptr) {
	from, client, to := &r.wait[0], &r.wait[1], &r.wait[2]
	*from = pollFD{fd: fromParent, events: pollIn}
	*client = pollFD{fd: socket}
	*to = pollFD{fd: toParent}
	count = 2
	if r.in.waits() {
		to.events = pollOut
		count = 3
		if !r.clientLeaving {
			client.events = pollLeft
		}
	} else if !r.clientDone {
		client.events = pollIn
	}
	if r.out.waits() {
		client.events |= pollOut
	}
	if client.events == 0 {
		client.fd = -1 // otherwise errors would be reported again and again
	}
	if r.finSent || r.out.waits() {
		from.fd = -1
		count = 3
	}
	unwatched := r.toParentClosed && count == 3
	if unwatched {
		count = 2
	}
	if unwatched || r.clientLeaving {
		r.timeout = syscall.Timespec{Sec: lookAfter}
		timeout = uintptr(unsafe.Pointer(&r.timeout))
	}
	return count, timeout
}

// readParent reads from the parent.
//
//go:nosplit
//go:norace
func (r *relay) readParent() event {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fromParent, uintptr(unsafe.Pointer(&r.outBuf)), FromParent)
	switch {
	case errno == syscall.EINTR:
		return nothing
	case errno != 0:
		return parentGone
	case n == 0:
		return parentEnded
	case !r.discardOutput:
		r.out = span{0, int(n)}
	}
	return nothing
}

// send sends to the client what was read from the parent.
//
//go:nosplit
//go:norace
func (r *relay) send() event {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, socket, uintptr(unsafe.Pointer(&r.outBuf[r.out.from])),
		uintptr(r.out.to-r.out.from), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		r.out.from += int(n)
	case syscall.EAGAIN, syscall.EINTR:
	default:
		r.out = span{}
		r.reset = errno != syscall.EPIPE
		return clientLost
	}
	return nothing
}

// passOn writes what the client has sent to the parent. It returns false if the parent is gone.
//
//go:nosplit
//go:norace
func (r *relay) passOn() bool {
	for r.in.waits() {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, toParent, uintptr(unsafe.Pointer(&r.inBuf[r.in.from])),
			uintptr(r.in.to-r.in.from))
		switch errno {
		case 0:
			r.in.from += int(n)
		case syscall.EAGAIN:
			return true
		case syscall.EINTR:
		default:
			return false
		}
	}
	return true
}

// receiveFrom reads what a client has sent, without waiting.
func receiveFrom(fd int, p *[FromClient]byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(p)), FromClient,
		syscall.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// now is the time of the monotonic clock, in nanoseconds.
//
//go:nosplit
//go:norace
func (r *relay) now() int64 {
	const monotonic = 1
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&r.clock)), 0)
	return r.clock.Sec*1e9 + r.clock.Nsec
}

// exit ends the process.
func exit(code int) {
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0)
}

// title is the name under which ps and top show children.
var title = [...]byte{'c', 'h', 'a', 't', '-', 'c', 'l', 'i', 'e', 'n', 't', 0}

func name() {
	const setName = 15 // PR_SET_NAME
	syscall.RawSyscall(syscall.SYS_PRCTL, setName, uintptr(unsafe.Pointer(&title)), 0)
}

// ignore ignores signals that are sent to all processes of a service and are meant for the
// parent, which then ends the clients in order.
func ignore(signals ...syscall.Signal) {
	const ignored = 1             // SIG_IGN
	action := [8]uintptr{ignored} // struct sigaction begins with the handler
	for _, s := range signals {
		syscall.Syscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}
