package web

import (
	"net"
	"sync"
)

// spareConns is how many connections there may be beside those of WebSockets: of
// browsers that load the page.
const spareConns = 64

// limited is a listener that has at most as many connections at once as it has
// places: more wait to be accepted.
type limited struct {
	net.Listener
	places chan struct{}
	over   chan struct{} // closed by Close
	once   sync.Once
}

func limit(l net.Listener, conns int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, conns), over: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.over:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.over) })
	return l.Listener.Close()
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	c.leave()
	return c.Conn.Close()
}
