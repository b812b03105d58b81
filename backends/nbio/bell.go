package nbio

import (
	"errors"
	"net"
	"os"
	"sync"

	lib "github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// bell is a connection of the library's like any other, but with ourselves at
// the other end: whoever writes an octet to it has OnRead called on the
// poller's goroutine, which the library offers no other way to reach.
type bell struct {
	mu sync.Mutex
	fd int // our end; -1 once closed
}

// newBell gives a bell and the end of it that is the library's.
func newBell() (*bell, net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(pair[1]), "bell")
	conn, err := net.FileConn(file) // which duplicates it
	if err = errors.Join(err, file.Close()); err != nil {
		unix.Close(pair[0])
		return nil, nil, err
	}
	return &bell{fd: pair[0]}, conn, nil
}

var stroke = []byte{1}

// ring has OnRead called. Any goroutine.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd >= 0 {
		_, _ = unix.Write(b.fd, stroke) // fails only if it is full of strokes
	}
}

// clear takes the strokes back.
func (b *bell) clear(c *lib.Conn) {
	var strokes [64]byte
	_, _ = c.Read(strokes[:])
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = unix.Close(b.fd)
	b.fd = -1
}
