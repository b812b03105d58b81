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

// listening is a limited listener that accepts, and tells of what it does.
type listening struct {
	*limited
	t        *testing.T
	accepted chan *placed
	refused  chan netip.AddrPort
}

func listen(t *testing.T, share int, proxy netip.Addr) *listening {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{t: t, accepted: make(chan *placed), refused: make(chan netip.AddrPort, 1)}
	l.limited = limit(inner, 100, func(addr netip.Addr) bool { return addr == proxy }, func(peer netip.AddrPort) { l.refused <- peer })
	l.share = share
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			l.accepted <- c.(*placed)
		}
	}()
	return l
}

// accept connects from an address of this machine, which is to be accepted.
func (l *listening) accept(from string) *placed {
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

// refuse is accept for a connection that is to be closed.
func (l *listening) refuse(from string) {
	l.t.Helper()
	c := raw(l.t, from, l.Addr().String(), "")
	select {
	case peer := <-l.refused:
		if peer.String() != c.LocalAddr().String() {
			l.t.Errorf("%s is refused, want %s", peer, c.LocalAddr())
		}
	case <-l.accepted:
		l.t.Fatal("one too many is accepted")
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		l.t.Errorf("one too many is told %v", err)
	}
}

// An address has its share of connections, as long as they carry no WebSocket. What
// is more is closed at once, and told of. A proxy has no share.
func TestShareOfAddress(t *testing.T) {
	for conns, want := range map[int]int{100: spareConns, 10_080: 1260} {
		if got := limit(nil, conns, nobody, nil).share; got != want {
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
	for _, c := range []*placed{second, second, third, fourth} {
		c.Close()
	}
	if len(l.of) != 0 {
		t.Errorf("still counted are %v", l.of)
	}
	await(t, "the proxy's places are taken, and that of who is accepted next", func() bool { return len(l.places) == 3+1 })
}
