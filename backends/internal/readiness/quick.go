package readiness

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recv and send keep the processor, as a brief wait does: on a non-blocking
// socket neither can block. A send of a large batch takes some 20 µs, and that
// is when the runtime's monitor thread begins to take processors away from
// system calls; with one processor it does so every time.

func recv(fd int, p []byte) (int, error) {
	return quick(unix.SYS_RECVFROM, fd, p, 0)
}

func send(fd int, p []byte) (int, error) {
	return quick(unix.SYS_SENDTO, fd, p, unix.MSG_NOSIGNAL)
}

func quick(trap uintptr, fd int, p []byte, flags uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
