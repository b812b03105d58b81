package ring

// The layouts and numbers of this file are those of include/uapi/linux/io_uring.h of Linux 6.1. The
// comments give their names there.

// Operations (enum io_uring_op) that this package submits.
const (
	opNop         = 0  // IORING_OP_NOP
	opPollAdd     = 6  // IORING_OP_POLL_ADD
	opAsyncCancel = 14 // IORING_OP_ASYNC_CANCEL
	opSend        = 26 // IORING_OP_SEND
	opRecv        = 27 // IORING_OP_RECV
)

// names are the operations that a kernel must have.
var names = map[uint8]string{opPollAdd: "POLL_ADD", opAsyncCancel: "ASYNC_CANCEL", opSend: "SEND", opRecv: "RECV"}

// sqe is a submission (struct io_uring_sqe), 64 octets.
type sqe struct {
	op          uint8
	flags       uint8  // IOSQE_…
	prio        uint16 // ioprio: IORING_RECVSEND_…, IORING_RECV_…
	fd          int32
	off         uint64
	addr        uint64
	len         uint32
	opFlags     uint32 // msg_flags, poll32_events, …
	userData    uint64 // returned in the completion
	group       uint16 // buf_group
	personality uint16
	fileIndex   int32
	addr3       uint64
	_           uint64
}

// CQE is a completion (struct io_uring_cqe), 16 octets.
type CQE struct {
	UserData uint64 // as it was given when the operation was filled in
	Res      int32  // what the system call of the same name returns; an error is -errno
	Flags    uint32
}

// Flags of a submission and of single operations.
const (
	sqeBufferSelect = 1 << 5 // IOSQE_BUFFER_SELECT
	recvMultishot   = 1 << 1 // IORING_RECV_MULTISHOT
)

// Flags of a completion.
const (
	cqeBuffer      = 1 << 0 // IORING_CQE_F_BUFFER
	cqeMore        = 1 << 1 // IORING_CQE_F_MORE
	cqeBufferShift = 16     // IORING_CQE_BUFFER_SHIFT
)

// Flags of io_uring_setup(2).
const (
	setupCQSize       = 1 << 3  // IORING_SETUP_CQSIZE
	setupClamp        = 1 << 4  // IORING_SETUP_CLAMP
	setupSubmitAll    = 1 << 7  // IORING_SETUP_SUBMIT_ALL
	setupSingleIssuer = 1 << 12 // IORING_SETUP_SINGLE_ISSUER
	setupDeferTaskrun = 1 << 13 // IORING_SETUP_DEFER_TASKRUN
)

// Features that io_uring_setup(2) reports.
const (
	featSingleMmap = 1 << 0 // IORING_FEAT_SINGLE_MMAP
	featNoDrop     = 1 << 1 // IORING_FEAT_NODROP
	featExtArg     = 1 << 8 // IORING_FEAT_EXT_ARG
)

// Where the parts of a ring are mapped.
const (
	offRings = 0          // IORING_OFF_SQ_RING
	offSQEs  = 0x10000000 // IORING_OFF_SQES
)

// Flags of io_uring_enter(2).
const (
	enterGetEvents      = 1 << 0 // IORING_ENTER_GETEVENTS
	enterExtArg         = 1 << 3 // IORING_ENTER_EXT_ARG
	enterRegisteredRing = 1 << 4 // IORING_ENTER_REGISTERED_RING
)

// Operations of io_uring_register(2).
const (
	registerProbe         = 8  // IORING_REGISTER_PROBE
	registerRingFDs       = 20 // IORING_REGISTER_RING_FDS
	unregisterRingFDs     = 21 // IORING_UNREGISTER_RING_FDS
	registerProvidedRing  = 22 // IORING_REGISTER_PBUF_RING
	registerAnyFreeOffset = ^uint32(0)
)

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags          uint32
	sqThreadCPU, sqThreadIdle            uint32
	features, wqFD                       uint32
	_                                    [3]uint32
	sqHead, sqTail, sqMask, sqRingSize   uint32 // sq_off: struct io_sqring_offsets
	sqFlags, sqDropped, sqArray, _       uint32
	_                                    uint64
	cqHead, cqTail, cqMask, cqRingSize   uint32 // cq_off: struct io_cqring_offsets
	cqOverflow, cqCompletions, cqRing, _ uint32
	_                                    uint64
}

// eventsArg is struct io_uring_getevents_arg.
type eventsArg struct {
	sigmask     uint64
	sigmaskSize uint32
	_           uint32
	timeout     uint64 // of a struct __kernel_timespec; 0: none
}

// timespec is struct __kernel_timespec.
type timespec struct{ sec, nsec int64 }

// update is struct io_uring_rsrc_update.
type update struct {
	offset uint32
	_      uint32
	data   uint64
}

// probe is struct io_uring_probe with room for all operations.
type probe struct {
	lastOp, length uint8
	_              uint16
	_              [3]uint32
	ops            [256]probeOp
}

// probeOp is struct io_uring_probe_op.
type probeOp struct {
	op, _ uint8
	flags uint16
	_     uint32
}

const opSupported = 1 << 0 // IO_URING_OP_SUPPORTED

// buffer is an entry of a ring of buffers (struct io_uring_buf). In entry 0, the
// two octets behind id are the ring's tail (struct io_uring_buf_ring).
type buffer struct {
	addr uint64
	len  uint32
	id   uint16
	tail uint16
}

// buffersArg is struct io_uring_buf_reg.
type buffersArg struct {
	addr    uint64
	entries uint32
	group   uint16
	_       uint16
	_       [3]uint64
}
