package readiness

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recv and send do not give the processor away (see Call): on a non-blocking socket they cannot
// block. A large send takes some 20 µs, and after that time the runtime's monitor thread takes the
// processor away from a system call; with one processor it does so every time.

func recv(fd int, p []byte) (int, error) {
	return rawCall(unix.SYS_RECVFROM, fd, p, 0)
}

func send(fd int, p []byte) (int, error) {
	return rawCall(unix.SYS_SENDTO, fd, p, unix.MSG_NOSIGNAL)
}

func rawCall(trap uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
