package web

import (
	"net"
	"net/netip"
	"sync"

	"chatbench/core"
)

const (
	// spareConns is how many connections there may be in addition to WebSockets: of
	// browsers that load the page.
	spareConns = 64
	// addressShare: one address may have one in addressShare of all connections, or
	// spareConns if that is more, in addition to its WebSockets.
	addressShare = 8
)

// limitListener is a TCP listener that has at most as many connections at once as it has
// slots; more wait to be accepted. Of the connections that carry no WebSocket one address
// has a share, and further ones are closed at once. An IPv6 address counts as its /64. The
// room limits the WebSockets of an address.
type limitListener struct {
	net.Listener
	slots   chan struct{}
	share   int
	trusted func(netip.Addr) bool // addresses without a share: proxies, which have many clients
	refused func(netip.AddrPort)  // is called for each connection that is closed

	closed chan struct{} // closed by Close
	once   sync.Once

	mu        sync.Mutex
	byAddress map[netip.Addr]int // connections that carry no WebSocket, by core.Origin
}

func newLimitListener(l net.Listener, conns int, trusted func(netip.Addr) bool, refused func(netip.AddrPort)) *limitListener {
	return &limitListener{
		Listener: l, slots: make(chan struct{}, conns), share: max(conns/addressShare, spareConns),
		trusted: trusted, refused: refused, closed: make(chan struct{}), byAddress: make(map[netip.Addr]int),
	}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
		if c := l.admit(conn, peer.Addr()); c != nil {
			return c, nil
		}
		conn.Close()
		l.refused(peer)
	}
}

// admit gives a connection the slot that Accept has taken; nil if its address has its
// whole share already.
func (l *limitListener) admit(conn net.Conn, addr netip.Addr) *slotConn {
	c := &slotConn{Conn: conn, l: l}
	if l.trusted(addr) {
		return c
	}
	c.from, c.counted = core.Origin(addr), true
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byAddress[c.from] >= l.share {
		return nil
	}
	l.byAddress[c.from]++
	return c
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotConn is a connection that has a slot.
type slotConn struct {
	net.Conn
	l    *limitListener
	from netip.Addr

	counted bool // in byAddress; guarded by l.mu
	closed  bool // its slot is released; guarded by l.mu
}

// upgraded is called when the connection carries a WebSocket.
func (c *slotConn) upgraded() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.discount()
}

// discount removes the connection from the count of its address. The caller holds mu.
func (c *slotConn) discount() {
	if !c.counted {
		return
	}
	c.counted = false
	if c.l.byAddress[c.from]--; c.l.byAddress[c.from] == 0 {
		delete(c.l.byAddress, c.from)
	}
}

func (c *slotConn) Close() error {
	c.l.mu.Lock()
	c.discount()
	again := c.closed
	c.closed = true
	c.l.mu.Unlock()
	if !again {
		<-c.l.slots
	}
	return c.Conn.Close()
}
