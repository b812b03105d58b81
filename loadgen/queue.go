package loadgen

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"chatbench/loadgen/hist"
)

// The share of the clients whose receive queue is sampled: one in sampleEvery,
// at least one and at most maxSampled.
const (
	sampleEvery = 16
	maxSampled  = 64
)

// queue samples how long what came for a few of the clients lay in the
// generator's own sockets: from the kernel's receive timestamp
// (SO_TIMESTAMPNS) to the return of the recvmsg(2) that took it. That time is
// part of every latency, and is the generator's and not the server's.
//
// The unit is the read: each counts once, however many frames it took. TCP gives
// the timestamp of the newest segment among what one recvmsg returned, and
// merges segments that wait, keeping the newer timestamp. So the figure is exact
// where a read takes one segment, and a lower bound for the older octets of a
// read that takes several.
//
// The kernel stamps by CLOCK_REALTIME and the generator counts by the monotonic
// clock. Both are read together when recvmsg returns, and the wait is the
// difference of two CLOCK_REALTIME times: only a step of that clock while a frame
// waits makes it wrong, by the step (below zero counts as zero).
//
// The kernel begins to stamp a moment after the first socket of the machine asked
// for it, which is long before the timed section. A read without a stamp is in no
// figure.
//
// The stamp itself costs every packet that this machine receives one reading of
// the clock, in its softirq, as long as a socket asks for stamps: some 30 ns of
// the several µs that a packet costs, for all servers alike. Clients that are not
// sampled are read as before. A queue belongs to the generator's thread.
type queue struct {
	sampled []bool // by client
	waits   *hist.Histogram
	// What recvmsg is given; unix.Recvmsg would allocate it at each call.
	message unix.Msghdr
	piece   unix.Iovec
	control [8]uint64 // room for one control message, aligned
}

// newQueue chooses who is sampled among a generator's own clients: evenly, each in the
// middle of its share of them, so that no place (the first are served first) is theirs.
func newQueue(clients int, own []int) *queue {
	q := &queue{sampled: make([]bool, clients), waits: hist.New()}
	n := samples(len(own))
	for k := range n {
		q.sampled[own[(2*k+1)*len(own)/(2*n)]] = true
	}
	return q
}

// samples is how many of so many clients are sampled.
func samples(clients int) int { return min(max(clients/sampleEvery, 1), maxSampled, clients) }

// ask asks the kernel to stamp what comes for client i, if it is sampled. Where
// the kernel does not know how, nobody is sampled: the figure is absent.
func (q *queue) ask(i, fd int) {
	if q.sampled[i] {
		q.sampled[i] = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil
	}
}

// read takes what came for a sampled client, and says when recvmsg returned and
// how long the newest of it waited; a wait below 0 is not known. It allocates nothing.
func (q *queue) read(fd int, p []byte) (n int, at time.Time, wait int64, err error) {
	q.piece.Base = &p[0]
	q.piece.SetLen(len(p))
	q.message.Iov = &q.piece
	q.message.SetIovlen(1)
	q.message.Control = (*byte)(unsafe.Pointer(&q.control))
	q.message.SetControllen(int(unsafe.Sizeof(q.control)))
	took, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&q.message)), 0)
	at = time.Now() // reads both clocks
	if errno != 0 {
		return 0, at, -1, errno
	}
	stamp, ok := q.stamp(int(q.message.Controllen))
	if !ok {
		return int(took), at, -1, nil
	}
	return int(took), at, max(at.UnixNano()-stamp, 0), nil
}

// stamp is the timestamp in the first octets of the control message buffer, in
// nanoseconds since 1970.
func (q *queue) stamp(octets int) (ns int64, ok bool) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&q.control))
	if octets < unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{}))) || h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_TIMESTAMPNS {
		return 0, false
	}
	t := (*unix.Timespec)(unsafe.Add(unsafe.Pointer(&q.control), unix.CmsgLen(0)))
	return t.Nano(), true
}

// read is one recv of client i into in[front:], and when it returned; by TLS, when
// what it brought was decrypted.
func (g *generator) read(i int) (n int, now int64, err error) {
	if g.secure == nil {
		return g.recv(i, g.in[g.front:])
	}
	if n, now, err = g.recv(i, g.secure.in); err != nil || n == 0 {
		return n, now, err
	}
	n, err = g.secure.sessions[i].open(g.in[g.front:], g.secure.in[:n])
	return n, g.now(), err
}

// recv is one recv of client i, and when it returned. Waits in the receive queue
// are counted from the beginning of the timed section on, its drain included: of
// a slice, between its edges.
func (g *generator) recv(i int, into []byte) (n int, now int64, err error) {
	if !g.queue.sampled[i] {
		n, err = unix.Read(g.fds[i], into)
		return n, g.now(), err
	}
	n, at, wait, err := g.queue.read(g.fds[i], into)
	now = int64(at.Sub(g.base))
	if wait >= 0 && g.origin > 0 && now >= g.from {
		g.queue.waits.Record(wait, 1)
	}
	return n, now, err
}
