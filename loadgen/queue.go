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

// queueSampler measures how long received data of a few clients waited in the
// generator's own sockets: from the kernel's receive timestamp
// (SO_TIMESTAMPNS) to the return of the recvmsg(2) that read it. That time is
// part of every latency, and is caused by the generator and not by the server.
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
// for it, which is long before the timed section. A read without a timestamp is in no
// figure.
//
// The timestamp itself costs every packet that this machine receives one reading of
// the clock, in its softirq, as long as a socket asks for timestamps: some 30 ns of
// the several µs that a packet costs, for all servers alike. Clients that are not
// sampled are read as before. A queueSampler belongs to the generator's thread.
type queueSampler struct {
	sampled []bool // by client
	waits   *hist.Histogram
	// What recvmsg is given; unix.Recvmsg would allocate it at each call.
	message unix.Msghdr
	piece   unix.Iovec
	control [8]uint64 // room for one control message, aligned
}

// newQueueSampler chooses the sampled clients among a generator's own clients: evenly, each in the
// middle of its group, so that no place has an advantage (the first clients are served first).
func newQueueSampler(clients int, own []int) *queueSampler {
	q := &queueSampler{sampled: make([]bool, clients), waits: hist.New()}
	n := samples(len(own))
	for k := range n {
		q.sampled[own[(2*k+1)*len(own)/(2*n)]] = true
	}
	return q
}

// samples is how many of that many clients are sampled.
func samples(clients int) int { return min(max(clients/sampleEvery, 1), maxSampled, clients) }

// enable makes the kernel stamp what client i receives, if it is sampled. If the kernel
// cannot do that, no client is sampled and the figure is absent.
func (q *queueSampler) enable(i, fd int) {
	if q.sampled[i] {
		q.sampled[i] = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil
	}
}

// read reads from a sampled client. It returns when recvmsg returned and how long the newest
// data waited; a wait below 0 is not known. It allocates nothing.
func (q *queueSampler) read(fd int, p []byte) (n int, at time.Time, wait int64, err error) {
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

// stamp returns the timestamp in the first octets of the control message buffer, in
// nanoseconds since 1970.
func (q *queueSampler) stamp(octets int) (ns int64, ok bool) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&q.control))
	if octets < unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{}))) || h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_TIMESTAMPNS {
		return 0, false
	}
	t := (*unix.Timespec)(unsafe.Add(unsafe.Pointer(&q.control), unix.CmsgLen(0)))
	return t.Nano(), true
}

// read is one recv of client i into in[front:]. It returns when recv returned; with TLS, when
// the data was decrypted.
func (g *generator) read(i int) (n int, now int64, err error) {
	if g.tls == nil {
		return g.recv(i, g.in[g.front:])
	}
	if n, now, err = g.recv(i, g.tls.in); err != nil || n == 0 {
		return n, now, err
	}
	n, err = g.tls.sessions[i].decrypt(g.in[g.front:], g.tls.in[:n])
	return n, g.now(), err
}

// recv is one recv of client i; it returns when recv returned. Waits in the receive queue
// are counted from the beginning of the timed section on, its drain included; in
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
