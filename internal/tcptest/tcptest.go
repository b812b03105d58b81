// Package tcptest has TCP addresses that no other process of the machine takes meanwhile, as may
// happen with one on which a test no longer listens, and connections with both ends in the test.
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

// Free is 127.0.0.1 with a port of FreePorts.
func Free(t testing.TB) netip.AddrPort {
	t.Helper()
	ports, err := FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(ports[0]))
}

// FreePorts returns n ports of 127.0.0.1 that stay free, except for servers of the test, until
// this process ends. While no server listens there, connections are refused. A port that is only
// closed again could be given to a client, which might be the one that connects to the server while
// that is down, or be taken by another test.
func FreePorts(n int) (ports []int, err error) {
	for port := 20_000 + os.Getpid()%5000; port < 32_000 && len(ports) < n; port++ {
		if reserve(port) == nil {
			ports = append(ports, port)
		}
	}
	if len(ports) < n {
		return nil, fmt.Errorf("fewer than %d ports from 20000 to 32000 are free: end what listens there", n)
	}
	return ports, nil
}

// reserve binds a socket to a port, and leaves it so. Beside it a server can listen, because both
// have SO_REUSEADDR and this one does not listen. But the kernel gives the port to no other socket,
// and a second reserve fails, because it binds without that option.
func reserve(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err != nil {
		unix.Close(fd)
	}
	return err
}
