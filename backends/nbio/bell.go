package nbio

import (
	"errors"
	"net"
	"os"
	"sync"

	lib "github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// bell is a connection of the library's whose other end is the transport's. Writing an
// octet to it makes the library call OnRead on the poller's goroutine. The library has no
// other way to run something there.
type bell struct {
	mu sync.Mutex
	fd int // our end; -1 once closed
}

// newBell makes a bell, and returns the library's end of it too.
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

var ringByte = []byte{1}

// ring makes the library call OnRead. It may be called from any goroutine. It is false
// after close.
func (b *bell) ring() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fd < 0 {
		return false
	}
	_, _ = unix.Write(b.fd, ringByte) // fails only if the socket is full, and then OnRead is called anyway
	return true
}

// clear reads the octets that ring has written.
func (b *bell) clear(c *lib.Conn) {
	var rings [64]byte
	_, _ = c.Read(rings[:])
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = unix.Close(b.fd)
	b.fd = -1
}
