package ring

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each of these fills in one operation, which Submit or Wait submits. Its completions return
// userData.

// Nop does nothing.
func (r *Ring) Nop(userData uint64) {
	s := r.next()
	s.op, s.userData = opNop, userData
}

// Poll waits until a descriptor is ready for one of the events of poll(2), and completes once.
func (r *Ring) Poll(fd int, events uint16, userData uint64) {
	s := r.next()
	s.op, s.fd, s.userData = opPollAdd, int32(fd), userData
	var field [4]byte // the events are in the first half, in any byte order
	binary.NativeEndian.PutUint16(field[:], events)
	s.opFlags = binary.NativeEndian.Uint32(field[:])
}

// Send sends octets on a stream socket, without SIGPIPE. If the socket takes none now, the operation
// waits. It completes when the socket has taken some, perhaps not all. Until then the octets must not
// change or be freed.
func (r *Ring) Send(fd int, p []byte, userData uint64) {
	r.send(fd, p, unix.MSG_NOSIGNAL, userData)
}

// SendNow sends octets on a stream socket, without SIGPIPE, but does not wait: it is complete when
// Submit returns, with EAGAIN if the socket took none. The socket may have taken some, not all. Until
// the completion the octets must not change or be freed.
func (r *Ring) SendNow(fd int, p []byte, userData uint64) {
	r.send(fd, p, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, userData)
}

func (r *Ring) send(fd int, p []byte, flags uint32, userData uint64) {
	s := r.next()
	s.op, s.fd, s.userData = opSend, int32(fd), userData
	s.addr, s.len = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), uint32(len(p))
	s.opFlags = flags
}

// Receive receives from a stream socket into buffers of a group. It completes for each piece of
// input. The last completion has no More: it is the end of the stream (0), an error, or ENOBUFS if the
// group is empty, even if nothing has come. Submit may already receive.
//
// If input and the end of the connection are both there when the kernel begins to wait, it may report
// only the input, and never the end.
func (r *Ring) Receive(fd int, group uint16, userData uint64) {
	s := r.next()
	s.op, s.fd, s.userData = opRecv, int32(fd), userData
	s.flags, s.group = sqeBufferSelect, group
	s.prio = recvMultishot // without IORING_RECVSEND_POLL_FIRST, which would make it miss more ends
}

// Cancel ends the operation whose user data is target and that waits for its descriptor: that
// operation completes with ECANCELED. Cancel itself completes with ENOENT if no such operation waits,
// because it is too early or too late.
func (r *Ring) Cancel(target, userData uint64) {
	s := r.next()
	s.op, s.fd, s.addr, s.userData = opAsyncCancel, -1, target, userData
}
