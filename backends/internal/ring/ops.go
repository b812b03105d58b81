package ring

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each of these fills in one operation, which Submit or Wait hands to the kernel.
// user comes back in its completions.

// Nop does nothing.
func (r *Ring) Nop(user uint64) {
	s := r.next()
	s.op, s.user = opNop, user
}

// Poll waits until a descriptor is ready for one of the events, as poll(2) has them,
// and completes once.
func (r *Ring) Poll(fd int, events uint16, user uint64) {
	s := r.next()
	s.op, s.fd, s.user = opPollAdd, int32(fd), user
	var field [4]byte // the kernel finds the events in the first half, whatever the order of octets
	binary.NativeEndian.PutUint16(field[:], events)
	s.opFlags = binary.NativeEndian.Uint32(field[:])
}

// Send sends octets on a stream socket, without SIGPIPE. If the socket takes none now,
// the operation waits until it does; it completes when some are taken, which may be
// fewer than all. The octets must neither change nor be freed before.
func (r *Ring) Send(fd int, p []byte, user uint64) { r.send(fd, p, unix.MSG_NOSIGNAL, user) }

// SendNow sends octets on a stream socket, without SIGPIPE, as far as the socket takes
// them at once. It is complete when Submit returns, with EAGAIN if the socket took none. The
// octets must neither change nor be freed before.
func (r *Ring) SendNow(fd int, p []byte, user uint64) {
	r.send(fd, p, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, user)
}

func (r *Ring) send(fd int, p []byte, flags uint32, user uint64) {
	s := r.next()
	s.op, s.fd, s.user = opSend, int32(fd), user
	s.addr, s.len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), uint32(len(p))
	s.opFlags = flags
}

// Receive receives from a stream socket into buffers of a group, and completes for
// each piece that has come, until one has no More: the end of the stream (0), an
// error, or ENOBUFS when the group is empty.
func (r *Ring) Receive(fd int, group uint16, user uint64) {
	s := r.next()
	s.op, s.fd, s.user = opRecv, int32(fd), user
	s.flags, s.group = sqeBufferSelect, group
	s.prio = recvMultishot | recvSendPollFirst
}

// Cancel ends the operation that was submitted with target and waits for its
// descriptor: it completes with ECANCELED. Cancel itself completes with ENOENT if no
// operation waits under that name, and it is too early or too late to end it.
func (r *Ring) Cancel(target, user uint64) {
	s := r.next()
	s.op, s.fd, s.addr, s.user = opAsyncCancel, -1, target, user
}
