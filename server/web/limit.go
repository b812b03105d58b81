package web

import (
	"net"
	"net/netip"
	"sync"

	"chatbench/core"
)

const (
	// spareConns is how many connections there may be beside those of WebSockets: of
	// browsers that load the page.
	spareConns = 64
	// addressShare is the part of all connections that one address may have beside
	// its WebSockets: an eighth, or spareConns if that is more.
	addressShare = 8
)

// limited is a listener of TCP that has at most as many connections at once as it has
// places: more wait to be accepted. Of one address it takes its share of connections
// that carry no WebSocket, and closes what is more at once; an IPv6 address counts as
// its /64. WebSockets of an address are the room's to limit.
type limited struct {
	net.Listener
	places  chan struct{}
	share   int
	trusted func(netip.Addr) bool // is not held to its share: a proxy, which has many clients
	refused func(netip.AddrPort)  // is told of what is closed for its address

	over chan struct{} // closed by Close
	once sync.Once

	mu sync.Mutex
	of map[netip.Addr]int // connections that carry no WebSocket, by core.Origin
}

func limit(l net.Listener, conns int, trusted func(netip.Addr) bool, refused func(netip.AddrPort)) *limited {
	return &limited{
		Listener: l, places: make(chan struct{}, conns), share: max(conns/addressShare, spareConns),
		trusted: trusted, refused: refused, over: make(chan struct{}), of: make(map[netip.Addr]int),
	}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.over:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
		if c := l.place(conn, peer.Addr()); c != nil {
			return c, nil
		}
		conn.Close()
		l.refused(peer)
	}
}

// place gives a connection the place that was taken for it; nil if its address has
// its share already.
func (l *limited) place(conn net.Conn, addr netip.Addr) *placed {
	c := &placed{Conn: conn, l: l}
	if l.trusted(addr) {
		return c
	}
	c.from, c.counted = core.Origin(addr), true
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[c.from] >= l.share {
		return nil
	}
	l.of[c.from]++
	return c
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.over) })
	return l.Listener.Close()
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	l    *limited
	from netip.Addr

	counted bool // for its address; guarded by l.mu
	closed  bool // its place is given back; guarded by l.mu
}

// upgraded says that the connection carries a WebSocket now.
func (c *placed) upgraded() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.discount()
}

// discount takes the connection out of the count of its address. The caller holds mu.
func (c *placed) discount() {
	if !c.counted {
		return
	}
	c.counted = false
	if c.l.of[c.from]--; c.l.of[c.from] == 0 {
		delete(c.l.of, c.from)
	}
}

func (c *placed) Close() error {
	c.l.mu.Lock()
	c.discount()
	again := c.closed
	c.closed = true
	c.l.mu.Unlock()
	if !again {
		<-c.l.places
	}
	return c.Conn.Close()
}
