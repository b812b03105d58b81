package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/epoll"
	"chatbench/core"
	"chatbench/core/wire"
)

// passedSocket is a listening socket with the default options of package net.
func passedSocket(t *testing.T) *net.TCPListener {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// Clients can connect to passed sockets as to those that the server opens, and cannot reach the
// transport in another way.
func TestWaysToPassedSockets(t *testing.T) {
	for _, b := range ends {
		t.Run(b.Name, func(t *testing.T) {
			sockets := Sockets{Chat: passedSocket(t), Web: passedSocket(t), Admin: passedSocket(t)}
			s := launch(t, func(o *Options) {
				o.Backend, o.ProxyFrom, o.Sockets = b, []netip.Prefix{netip.MustParsePrefix(proxy + "/32")}, sockets
			})
			addr := s.Addr().String()
			if want := sockets.Chat.Addr().String(); addr != want || s.Page() != "http://"+sockets.Web.Addr().String()+"/" {
				t.Errorf("listens on %s, the page is %s", addr, s.Page())
			}
			if code, _ := get(t, "http://"+sockets.Admin.Addr().String()+"/healthz"); code != 200 {
				t.Errorf("the admin listener answers %d", code)
			}
			direct := connect(t, "127.0.0.1", addr, nil)
			checkPeers(t, s, map[string]net.Conn{
				"direct": direct,
				"v1":     connect(t, proxy, addr, []byte(v1line)),
				"v2":     connect(t, proxy, addr, version2(t, nil)),
				"page":   browse(t, "127.0.0.3", s.Page(), "198.51.100.7", nil),
			}, map[string]string{"direct": direct.LocalAddr().String(), "v1": behind, "v2": behind, "page": "127.0.0.3:"})
			refused(t, "version 1 from elsewhere", connect(t, "127.0.0.1", addr, []byte(v1line)))
			refused(t, "no header from a proxy", connect(t, proxy, addr, nil))
			inner := s.transport.Addr().String()
			refused(t, "the transport, without a header", connect(t, "127.0.0.1", inner, nil))
			refused(t, "the transport, with another secret", connect(t, "127.0.0.1", inner, version2(t, make([]byte, 32))))
			waitFor(t, func() bool { return s.Snapshot().Ends[core.ReasonPreface] == 2 })
			if n := s.listeners.front.BadHeader.Load(); n != 1 {
				t.Errorf("%d headers were bad before the transport", n)
			}
		})
	}
}

// Clients of a passed socket are sent Close at the end.
func TestDrainOfPassedSocket(t *testing.T) {
	s := launch(t, func(o *Options) { o.Sockets.Chat = passedSocket(t) })
	alice := talk(t, connect(t, "127.0.0.1", s.Addr().String(), nil)).enter("alice")
	stopped := make(chan error)
	go func() { stopped <- s.Stop(t.Context()) }()
	alice.await(wire.Close, "")
	alice.conn.Close()
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// A socket is refused if its address would be, and is then closed.
func TestPassedSocketIsChecked(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port)
	o := options(new(logged))
	o.Sockets.Chat = l.(*net.TCPListener)
	if _, err := Start(t.Context(), o); err == nil {
		t.Fatal("an open server on a public address was not refused")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the socket is left open")
	}
}

// The server gives up a peer that does not answer any more as fast as the transports must, even
// if the front or the page accepts the connection.
func TestSilentPeersAreGivenUp(t *testing.T) {
	certFile, keyFile, trust := certificate(t)
	secure := func(o *Options) { o.TLSCert, o.TLSKey, o.Web = certFile, keyFile, "127.0.0.1:0" }
	passed := func(o *Options) { o.Sockets = Sockets{Chat: passedSocket(t), Web: passedSocket(t)} }
	for name, c := range map[string]struct {
		change func(*Options)
		trust  *tls.Config
	}{"own": {change: func(o *Options) { o.Web = "127.0.0.1:0" }}, "TLS": {secure, trust}, "passed": {change: passed}} {
		t.Run(name, func(t *testing.T) {
			s := launch(t, func(o *Options) { o.Backend, o.SendBuffer = epoll.Backend, 48<<10; c.change(o) })
			conn := connect(t, "127.0.0.1", s.Addr().String(), nil)
			if c.trust != nil {
				secure := tls.Client(conn, c.trust)
				if err := secure.Handshake(); err != nil {
					t.Fatal(err)
				}
				talk(t, secure).enter("alice")
			} else {
				talk(t, conn).enter("alice")
			}
			page := browse(t, "127.0.0.1", s.Page(), "", c.trust)
			talk(t, page).enter("bob")
			givenUp(t, "a client", conn.LocalAddr())
			for _, u := range s.room.Users() {
				if u.Name == "bob" {
					givenUp(t, "a browser", net.TCPAddrFromAddrPort(u.Peer))
				}
			}
		})
	}
}

// givenUp checks the options of the sockets of this process that are connected to a client.
func givenUp(t *testing.T, what string, client net.Addr) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		peer, err := unix.Getpeername(fd)
		if four, is := peer.(*unix.SockaddrInet4); err != nil || !is || netip.AddrPortFrom(netip.AddrFrom4(four.Addr), uint16(four.Port)).String() != client.String() {
			continue
		}
		found++
		get := func(level, option int) int {
			value, err := unix.GetsockoptInt(fd, level, option)
			if err != nil {
				t.Error(err)
			}
			return value
		}
		user := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
		idle := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)) * time.Second
		every := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)) * time.Second
		if get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 || user == 0 || max(user, idle)+every+user > backends.DeadAfter {
			t.Errorf("%s that falls silent may stay longer than %v: user timeout %v, keepalive after %v every %v", what, backends.DeadAfter, user, idle, every)
		}
		if idle != 30*time.Second || get(unix.IPPROTO_TCP, unix.TCP_NODELAY) != 1 || get(unix.SOL_SOCKET, unix.SO_SNDBUF) != 2*48<<10 {
			t.Errorf("%s has other options than those of a transport: idle %v", what, idle)
		}
	}
	if found != 1 {
		t.Errorf("%s has %d sockets here", what, found)
	}
}
