package web

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// nobody trusts no address.
func nobody(netip.Addr) bool { return false }

// A connection beyond the limit waits until another one ends, or the listener is closed.
func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(inner, 2, nobody, func(peer netip.AddrPort) { t.Errorf("%s is refused", peer) })
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
		t.Error("Accept waits for a slot though the listener is closed")
	}
}

// listening is a limitListener that accepts connections, and reports them to the test.
type listening struct {
	*limitListener
	t        *testing.T
	accepted chan *slotConn
	refused  chan netip.AddrPort
}

func listen(t *testing.T, share int, proxy netip.Addr) *listening {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{t: t, accepted: make(chan *slotConn), refused: make(chan netip.AddrPort, 1)}
	l.limitListener = newLimitListener(inner, 100, func(addr netip.Addr) bool { return addr == proxy }, func(peer netip.AddrPort) { l.refused <- peer })
	l.share = share
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			l.accepted <- c.(*slotConn)
		}
	}()
	return l
}

// accept connects from an address of this machine. The connection must be accepted.
func (l *listening) accept(from string) *slotConn {
	l.t.Helper()
	raw(l.t, from, l.Addr().String(), "")
	select {
	case c := <-l.accepted:
		l.t.Cleanup(func() { c.Close() })
		return c
	case peer := <-l.refused:
		l.t.Fatalf("%s is refused", peer)
		return nil
	}
}

// refuse is accept for a connection that must be closed.
func (l *listening) refuse(from string) {
	l.t.Helper()
	c := raw(l.t, from, l.Addr().String(), "")
	select {
	case peer := <-l.refused:
		if peer.String() != c.LocalAddr().String() {
			l.t.Errorf("%s is refused, want %s", peer, c.LocalAddr())
		}
	case <-l.accepted:
		l.t.Fatal("a connection beyond the share is accepted")
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		l.t.Errorf("a connection beyond the share ends with %v", err)
	}
}

// An address has a share of the connections that carry no WebSocket. Further ones are closed at
// once, and reported. The share does not apply to a proxy.
func TestShareOfAddress(t *testing.T) {
	for conns, want := range map[int]int{100: spareConns, 10_080: 1260} {
		if got := newLimitListener(nil, conns, nobody, nil).share; got != want {
			t.Errorf("the share of %d connections is %d, want %d", conns, got, want)
		}
	}
	l := listen(t, 2, netip.MustParseAddr("127.0.0.4"))
	first, second := l.accept("127.0.0.2"), l.accept("127.0.0.2")
	l.refuse("127.0.0.2")
	third := l.accept("127.0.0.3")
	for range 3 {
		l.accept("127.0.0.4")
	}
	first.upgraded()
	first.upgraded()
	fourth := l.accept("127.0.0.2")
	l.refuse("127.0.0.2")
	first.Close()
	l.refuse("127.0.0.2")
	for _, c := range []*slotConn{second, second, third, fourth} {
		c.Close()
	}
	if len(l.byAddress) != 0 {
		t.Errorf("still counted are %v", l.byAddress)
	}
	await(t, "the proxy's slots are used, and that of the next connection", func() bool { return len(l.slots) == 3+1 })
}
