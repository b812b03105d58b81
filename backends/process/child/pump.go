package child

import (
	"syscall"
	"unsafe"
)

// event is why pump came back.
type event int

const (
	nothing       event = iota
	clientReady         // there is something to read, an end or an error included
	clientLost          // the client cannot be sent anything any more
	clientLeft          // it has, and what it sent waits for the parent
	clientOverdue       // and has waited long enough
	parentEnded         // the parent has said all, and all of it is sent
	parentGone
)

// lookAfter is how often to look, in seconds, whether the parent is still there
// when no pipe tells.
const lookAfter = 1

// pollFD is struct pollfd. One that is negative is not looked at; an error or a
// hang-up shows unasked.
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

// Entering a system call the way package syscall does, but once for many.
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// pump sends the client what the parent says until something else is to do.
//
// To the runtime all of it is one long system call. A goroutine that enters
// and leaves one for each wait gets its processor taken away and given back
// each time, and wakes the monitor thread, which then looks around for a
// while: 45 µs of CPU a delivery where this takes 12, as much as in C. The price
// is that nothing called from here may allocate, grow the stack or touch the
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

// turn waits once and moves what can be moved.
//
//go:nosplit
//go:norace
func (r *relay) turn() event {
	count, timeout := r.aim()
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&r.wait)), count, timeout, 0, 0, 0)
	if errno != 0 {
		return nothing // a signal
	}
	if r.leaves && r.now() >= r.until {
		return clientOverdue
	}
	if n == 0 {
		if parent, _, _ := syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0); parent != r.parent {
			return parentGone
		}
		return nothing
	}
	if count > 2 && r.wait[2].revents != 0 {
		if r.wait[2].revents&pollError != 0 || !r.pass() {
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
	if r.in.waits() && !r.leaves && r.wait[1].revents&pollLeft != 0 {
		return clientLeft
	}
	if r.wait[1].revents&^pollOut != 0 && !r.in.waits() && !r.gone {
		return clientReady
	}
	return nothing
}

// aim says what is waited for, and how long. A read of either direction has to
// be written before the next. While nothing is read from the parent, the other
// pipe tells of its end, or if that is closed the clock. While that pipe is full the
// client is looked at for its end, once.
//
//go:nosplit
//go:norace
func (r *relay) aim() (count, timeout uintptr) {
	from, client, to := &r.wait[0], &r.wait[1], &r.wait[2]
	*from = pollFD{fd: fromParent, events: pollIn}
	*client = pollFD{fd: socket}
	*to = pollFD{fd: toParent}
	count = 2
	if r.in.waits() {
		to.events = pollOut
		count = 3
		if !r.leaves {
			client.events = pollLeft
		}
	} else if !r.gone {
		client.events = pollIn
	}
	if r.out.waits() {
		client.events |= pollOut
	}
	if client.events == 0 {
		client.fd = -1 // it would tell of errors again and again
	}
	if r.ended || r.out.waits() {
		from.fd = -1
		count = 3
	}
	blind := r.told && count == 3
	if blind {
		count = 2
	}
	if blind || r.leaves {
		r.patience = syscall.Timespec{Sec: lookAfter}
		timeout = uintptr(unsafe.Pointer(&r.patience))
	}
	return count, timeout
}

// readParent takes what the parent says.
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
	case !r.broken:
		r.out = span{0, int(n)}
	}
	return nothing
}

// send gives the kernel what the client is to be sent.
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

// pass gives the parent what the client has sent. It is false when nobody is
// there to take it.
//
//go:nosplit
//go:norace
func (r *relay) pass() bool {
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

// now is the time by a clock that only goes on, in nanoseconds.
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

// title is how ps and top tell children from their parent.
var title = [...]byte{'c', 'h', 'a', 't', '-', 'c', 'l', 'i', 'e', 'n', 't', 0}

func name() {
	const setName = 15 // PR_SET_NAME
	syscall.RawSyscall(syscall.SYS_PRCTL, setName, uintptr(unsafe.Pointer(&title)), 0)
}

// ignore ignores signals that are meant for the parent and that some send to
// all processes of a service: it is the parent that ends clients in order.
func ignore(signals ...syscall.Signal) {
	const ignored = 1             // SIG_IGN
	action := [8]uintptr{ignored} // struct sigaction begins with the handler
	for _, s := range signals {
		syscall.Syscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}
