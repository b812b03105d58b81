package socket

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/internal/tcp"
)

// dial connects to a listening socket and returns both ends.
func dial(t *testing.T, listener int, addr netip.AddrPort) (client net.Conn, conn int, peer netip.AddrPort) {
	t.Helper()
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	awaitArrival(t, listener)
	conn, peer, err = Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(conn) })
	return client, conn, peer
}

// awaitArrival waits until a connection can be accepted, which may be later than its client has it.
func awaitArrival(t *testing.T, listener int) {
	t.Helper()
	wait := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := unix.Poll(wait, 1000)
		if n == 1 {
			return
		}
		if err != nil && err != unix.EINTR || time.Now().After(deadline) {
			t.Fatalf("nobody is there to accept: %v", err)
		}
	}
}

func listen(t *testing.T, cfg backends.Config) (int, netip.AddrPort) {
	t.Helper()
	fd, addr, err := ListenFD(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd, addr
}

func TestListenFD(t *testing.T) {
	fd, addr := listen(t, backends.Config{Listen: "127.0.0.1:0", SendBuffer: 20 << 10, Backlog: 33})
	if addr.Port() == 0 || addr.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("bound at %v", addr)
	}
	if _, _, err := Accept(fd); err != unix.EAGAIN {
		t.Errorf("Accept with nobody there: %v", err)
	}
	client, conn, peer := dial(t, fd, addr)
	if peer.String() != client.LocalAddr().String() {
		t.Errorf("the peer at %v is said to be at %v", client.LocalAddr(), peer)
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Sacked != 33 {
		t.Errorf("the backlog is %d, %v", info.Sacked, err)
	}
	for _, o := range []struct {
		name             string
		level, opt, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 45_000},
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 40 << 10}, // the kernel doubles it
		{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP},
	} {
		if got, err := unix.GetsockoptInt(conn, o.level, o.opt); err != nil || got != o.want {
			t.Errorf("%s of a connection is %d, %v; want %d", o.name, got, err, o.want)
		}
	}
	for _, s := range []int{fd, conn} {
		if flags, _ := unix.FcntlInt(uintptr(s), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
			t.Errorf("descriptor %d blocks", s)
		}
		if flags, _ := unix.FcntlInt(uintptr(s), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d survives an exec", s)
		}
	}
}

func TestListenAnywhere(t *testing.T) {
	l, err := Listen(backends.Config{Listen: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"127.0.0.1", "::1"} {
		client, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(host), tcp.Bound(l).Port()).String())
		if err != nil {
			t.Logf("no %s on this machine: %v", host, err)
			continue
		}
		defer client.Close()
		conn, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		raw, _ := conn.SyscallConn()
		raw.Control(func(fd uintptr) {
			sa, err := unix.Getpeername(int(fd))
			if peer := AddrPort(sa); err != nil || peer.String() != client.LocalAddr().String() {
				t.Errorf("the peer at %v is said to be at %v, %v", client.LocalAddr(), peer, err)
			}
		})
	}
}

func TestListenRefuses(t *testing.T) {
	_, taken := listen(t, backends.Config{Listen: "127.0.0.1:0"})
	for addr, want := range map[string]string{
		taken.String():  "address already in use (stop the other server",
		"192.0.2.1:0":   "no interface of this machine has this address",
		"127.0.0.1":     "missing port",
		"nobody.test:x": "tcp: cannot listen on \"nobody.test:x\"",
	} {
		fd, _, err := ListenFD(backends.Config{Listen: addr}, false)
		if err == nil {
			unix.Close(fd)
			t.Errorf("listens on %q", addr)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("listen on %q: %v", addr, err)
		}
	}
}

func TestAddrPort(t *testing.T) {
	for _, c := range []struct {
		sa   unix.Sockaddr
		want string
	}{
		{&unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 0, 0, 1}}, "10.0.0.1:80"},
		{&unix.SockaddrInet6{Port: 81, Addr: netip.MustParseAddr("2001:db8::1").As16()}, "[2001:db8::1]:81"},
		{&unix.SockaddrInet6{Port: 82, Addr: netip.MustParseAddr("::ffff:10.0.0.2").As16()}, "10.0.0.2:82"},
		{&unix.SockaddrInet6{Port: 83, Addr: netip.MustParseAddr("fe80::1").As16(), ZoneId: 1 << 30}, "[fe80::1%1073741824]:83"},
		{&unix.SockaddrUnix{Name: "x"}, "invalid AddrPort"},
	} {
		if got := AddrPort(c.sa).String(); got != c.want {
			t.Errorf("%#v is %s, want %s", c.sa, got, c.want)
		}
	}
}

func TestReserve(t *testing.T) {
	fd, addr := listen(t, backends.Config{Listen: "127.0.0.1:0"})
	r, err := NewReserve()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	held := r.fd
	if r.TurnAway(fd) {
		t.Error("turned somebody away when nobody was there")
	}
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	before := fileLimit(t)
	lowered := unix.Rlimit{Cur: uint64(held) + 1, Max: before.Max}
	var taken []int
	for { // those below the reserve
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, fd)
		if fd > held {
			break
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	awaitArrival(t, fd)
	_, _, err = Accept(fd)
	if !Exhausted(err) {
		t.Errorf("Accept without a descriptor: %v", err)
	}
	if !r.TurnAway(fd) {
		t.Error("TurnAway did not")
	}
	if r.fd != held {
		t.Errorf("the reserve is %d now, it was %d", r.fd, held)
	}
	for _, fd := range taken {
		unix.Close(fd)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the client turned away reads %d, %v", n, err)
	}
}

func fileLimit(t *testing.T) unix.Rlimit {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return limit
}

func TestRaiseFileLimit(t *testing.T) {
	before := fileLimit(t)
	lowered := unix.Rlimit{Cur: before.Max - 5, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	n, err := RaiseFileLimit()
	if err != nil || uint64(n) != min(before.Max, 1<<30) || fileLimit(t).Cur != before.Max {
		t.Errorf("raised to %d, %v; the limit is %v of %d", n, err, fileLimit(t), before.Max)
	}
}

func TestExhausted(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EMFILE: true, unix.ENFILE: true, unix.EAGAIN: false,
		&net.OpError{Op: "accept", Err: unix.EMFILE}: true, errors.New("other"): false,
	} {
		if Exhausted(err) != want {
			t.Errorf("Exhausted(%v) is %v", err, !want)
		}
	}
}
