// Package tcptest has TCP addresses that no other process of the machine takes meanwhile, as may
// happen with one on which a test no longer listens.
//
// Nothing but tests may use it. Any goroutine may call its functions.
package tcptest

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Own is a loopback address of this process alone. A test can listen there again on a port on
// which it has listened before: others, which use 127.0.0.1, do not get that port here.
func Own() netip.Addr {
	pid := os.Getpid() // below 2^22
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16&63), byte(pid >> 8), byte(pid)})
}

// Refusing is a port of an address on which connections are refused until the end of the test.
func Refusing(t testing.TB, on netip.Addr) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: on.As4()}); err != nil { // and never listens
		t.Fatal(fmt.Errorf("bind to %v: %w", on, err))
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(on, uint16(at.(*unix.SockaddrInet4).Port))
}
