package backendtest

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
)

var socketScenarios = []scenario{
	{"socket-options", socketOptions},
	{"address-families", addressFamilies},
	{"no-descriptors", noDescriptors},
	{"nothing-left-behind", nothingLeftBehind},
}

// socketOptions: the server's sockets have the options of Config.
func socketOptions(h *harness) {
	r := h.open(func(s *settings) { s.net.SendBuffer, s.net.Backlog = 24<<10, 77 })
	alice := r.login("alice")
	client := netip.MustParseAddrPort(alice.conn.LocalAddr().String())
	found, listeners := 0, 0
	var hidden error
	for _, pid := range processTree() {
		err := eachSocket(pid, func(fd int) {
			if listening, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listening == 1 {
				if sa, err := unix.Getsockname(fd); err == nil && socket.AddrPort(sa) == r.server.Addr() {
					listeners++
					checkBacklog(r, fd, 77)
				}
				return
			}
			if sa, err := unix.Getpeername(fd); err == nil && socket.AddrPort(sa) == client {
				found++
				checkOptions(r, fd)
			}
		})
		if err != nil {
			hidden = err
		}
	}
	if found == 0 && hidden != nil {
		r.Logf("the sockets of another process are not checked: %v", hidden)
		found++
	}
	if found == 0 || listeners == 0 {
		r.Errorf("found %d sockets of the connection and %d that listen", found, listeners)
	}
}

// addressFamilies: on an IPv4 address, including 0.0.0.0, the server listens to IPv4
// alone, on an IPv6 address to IPv6 alone, and on [::] or an empty host to both.
func addressFamilies(h *harness) {
	const v4, v6, both = "IPv4 alone", "IPv6 alone", "IPv4 and IPv6"
	probe, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		probe.Close()
	}
	for _, c := range []struct{ listen, want string }{
		{"0.0.0.0:0", v4}, {"127.0.0.1:0", v4}, {"[::1]:0", v6}, {"[::]:0", both}, {":0", both},
	} {
		if c.want != v4 && err != nil {
			h.Logf("%s is left out: this machine has no IPv6: %v", c.listen, err)
			continue
		}
		r := h.open(func(s *settings) { s.net.Listen = c.listen })
		found := ""
		_ = eachSocket(os.Getpid(), func(fd int) { // which is allowed
			sa, err := unix.Getsockname(fd)
			listening, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
			if err != nil || listening == 0 || socket.AddrPort(sa).Port() != r.server.Addr().Port() {
				return
			}
			found = v4
			if _, ok := sa.(*unix.SockaddrInet6); ok {
				found = both
				if only, _ := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); only != 0 {
					found = v6
				}
			}
		})
		if found != c.want {
			r.Errorf("on %s the server listens to %q, want %s", c.listen, found, c.want)
		}
		r.close()
	}
}

// checkOptions checks the options of the server's end of a connection.
func checkOptions(r *rig, fd int) {
	r.Helper()
	get := func(level, opt int) int {
		v, err := unix.GetsockoptInt(fd, level, opt)
		if err != nil {
			r.Errorf("getsockopt %d %d: %v", level, opt, err)
		}
		return v
	}
	if get(unix.IPPROTO_TCP, unix.TCP_NODELAY) != 1 {
		r.Errorf("TCP_NODELAY is not set")
	}
	if got := get(unix.SOL_SOCKET, unix.SO_SNDBUF); got != 2*r.net.SendBuffer { // the kernel doubles it
		r.Errorf("SO_SNDBUF is %d, want twice %d", got, r.net.SendBuffer)
	}
	if get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 {
		r.Errorf("SO_KEEPALIVE is not set")
	}
	user := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
	idle := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)) * time.Second
	every := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)) * time.Second
	// The last probe can come an interval after the timeout, and data sent just before
	// it make the kernel start counting again.
	if user == 0 || max(user, idle)+every+user > backends.DeadAfter {
		r.Errorf("a dead peer may stay longer than %v: TCP_USER_TIMEOUT is %v, TCP_KEEPIDLE %v, TCP_KEEPINTVL %v", backends.DeadAfter, user, idle, every)
	}
}

// checkBacklog checks the backlog of a listening socket. For one, TCP_INFO has it in the
// field Sacked.
func checkBacklog(r *rig, fd, want int) {
	r.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || int(info.Sacked) != want {
		r.Errorf("the backlog is %d, %v, want %d", info.Sacked, err, want)
	}
}

// noDescriptors: while the process is out of descriptors, connected clients go on talking
// and the server does not spin. When descriptors are free it accepts again.
func noDescriptors(h *harness) {
	r := h.open()
	alice, bob := r.login("alice"), r.login("bob")
	var waiting []int // sockets of newcomers, made while there are descriptors
	for range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			r.Fatalf("socket: %v", err)
		}
		defer unix.Close(fd)
		waiting = append(waiting, fd)
	}
	began := time.Now()
	free, err := takeAllDescriptors()
	defer free()
	if err != nil {
		r.Fatalf("take all descriptors: %v", err)
	}
	addr := unix.SockaddrInet4{Port: int(r.server.Addr().Port()), Addr: r.server.Addr().Addr().As4()}
	for _, fd := range waiting {
		if err := unix.Connect(fd, &addr); err != nil {
			r.Fatalf("connect: %v", err)
		}
	}
	r.eventually(func() bool { return r.counters.AcceptErrors.Load() > 0 }, "the server is out of descriptors")
	for i := range 200 {
		alice.say("no %d", i)
		alice.expectChat("alice: no %d", i)
		bob.expectChat("alice: no %d", i)
		time.Sleep(time.Millisecond)
	}
	r.checkSpin(began)
	free()
	carol := r.login("carol")
	carol.say("made it")
	bob.expectChat("carol: made it")
}

// checkSpin checks that a server that is out of descriptors since then does not spin. A
// newcomer may cause an error, and a retry now and then another one.
func (r *rig) checkSpin(since time.Time) {
	r.Helper()
	n, most := r.counters.AcceptErrors.Load(), 100+time.Since(since).Milliseconds()/2
	if n > most {
		r.Errorf("accept failed %d times in %v: the server spins", n, time.Since(since))
	}
}
