package tcp

import (
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// passed opens a socket as another process would: without any of our options.
func passed(t *testing.T) (fd int, addr string) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	return fd, l.Addr().String()
}

// optionsOf reads the options that Configure sets.
func optionsOf(t *testing.T, c net.Conn) (all [6]int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for i, o := range [6][2]int{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, {unix.SOL_SOCKET, unix.SO_SNDBUF},
		} {
			if all[i], err = unix.GetsockoptInt(int(fd), o[0], o[1]); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// accepted makes a connection, and returns the server's end.
func accepted(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Connections of an adopted socket have the same options as those of Listen.
func TestAdopt(t *testing.T) {
	fd, addr := passed(t)
	foreign, err := FromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{SendBuffer: 48 << 10, Backlog: 77}
	l, err := Adopt(foreign, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := Bound(l).String(); got != addr {
		t.Errorf("listens on %s, the socket that was passed on %s", got, addr)
	}
	own, err := Listen("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	got, want := optionsOf(t, accepted(t, l)), optionsOf(t, accepted(t, own))
	if got != want || want[2] != 30 || want[4] != 45_000 || want[5] != 2*o.SendBuffer {
		t.Errorf("a connection has the options %v, of a socket of our own %v", got, want)
	}
	raw, err := foreign.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { // for a listening socket Sacked is the backlog
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Sacked != 77 {
			t.Errorf("the backlog is %d, %v", info.Sacked, err)
		}
	})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the socket still listens after Close: a descriptor is left")
	}
}

// A descriptor that is not a listening TCP socket is an error, and is not closed.
func TestFromFDRefuses(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	local, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	localFile, err := local.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer localFile.Close()
	idle, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(idle)
	for _, c := range []struct {
		fd   int
		want string
	}{
		{int(read.Fd()), "is not a listening TCP socket"},
		{int(localFile.Fd()), "is a listening socket, but not of plain TCP"},
		{idle, "is not a listening TCP socket"},
		{1 << 20, "is not a listening TCP socket"},
	} {
		if _, err := FromFD(c.fd); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("descriptor %d: %v, want %q", c.fd, err, c.want)
		}
		if _, err := unix.FcntlInt(uintptr(c.fd), unix.F_GETFD, 0); err != nil && c.fd != 1<<20 {
			t.Errorf("descriptor %d was closed: %v", c.fd, err)
		}
	}
}
