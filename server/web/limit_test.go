package web

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// nobody is who is trusted, or refused.
func nobody(netip.Addr) bool { return false }

// One connection more than there may be waits until another ends, or the listener.
func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 2, nobody, func(peer netip.AddrPort) { t.Errorf("%s is refused", peer) })
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	var served []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		c := <-accepted
		defer c.Close()
		served = append(served, c)
	}
	select {
	case <-accepted:
		t.Fatal("a third is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	served[0].Close()
	served[0].Close() // gives back one place
	third := <-accepted
	defer third.Close()
	l.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Accept does not say that the listener is closed")
		}
	case <-time.After(30 * time.Second):
		t.Error("Accept waits for a place though the listener is closed")
	}
}

// An address has its share of connections, as long as they carry no WebSocket. What
// is more is closed at once, and told of. A proxy has no share.
func TestShareOfAddress(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := netip.MustParseAddr("127.0.0.4")
	refused := make(chan netip.AddrPort, 1)
	l := limit(inner, 100, func(addr netip.Addr) bool { return addr == proxy }, func(peer netip.AddrPort) { refused <- peer })
	defer l.Close()
	if l.share != spareConns {
		t.Errorf("the share of 100 connections is %d, want %d", l.share, spareConns)
	}
	l.share = 2
	accepted := make(chan *placed)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c.(*placed)
		}
	}()
	connect := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	accept := func(from string) *placed {
		t.Helper()
		connect(from)
		select {
		case c := <-accepted:
			t.Cleanup(func() { c.Close() })
			return c
		case peer := <-refused:
			t.Fatalf("%s is refused", peer)
			return nil
		}
	}
	refuse := func(from string) {
		t.Helper()
		c := connect(from)
		if peer := <-refused; peer.String() != c.LocalAddr().String() {
			t.Errorf("%s is refused, want %s", peer, c.LocalAddr())
		}
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("one too many is told %v", err)
		}
	}
	first, second := accept("127.0.0.2"), accept("127.0.0.2")
	refuse("127.0.0.2")
	third := accept("127.0.0.3")
	for range 3 {
		accept("127.0.0.4")
	}
	first.upgraded()
	first.upgraded()
	fourth := accept("127.0.0.2")
	refuse("127.0.0.2")
	first.Close()
	refuse("127.0.0.2")
	for _, c := range []*placed{second, second, third, fourth} {
		c.Close()
	}
	if len(l.of) != 0 {
		t.Errorf("still counted are %v", l.of)
	}
	await(t, "the proxy's places are taken, and that of who is accepted next", func() bool { return len(l.places) == 3+1 })
}
