package acceptor

import (
	"net"

	"chatbench/backends"
	"chatbench/backends/internal/socket"
	"chatbench/internal/tcp"
)

// Conns is an Acceptor for libraries that need a net.Conn.
type Conns struct {
	*Acceptor
	listener *net.TCPListener
}

// ListenConns is Listen for such a library.
func ListenConns(cfg backends.Config, name string) (Conns, error) {
	listener, err := socket.Listen(cfg)
	if err != nil {
		return Conns{}, err
	}
	a, err := newAcceptor(cfg, name, tcp.Bound(listener), listener)
	return Conns{a, listener}, err
}

// Conn waits for the next connection. Only take may call it.
func (c Conns) Conn() (*net.TCPConn, error) { return c.listener.AcceptTCP() }
