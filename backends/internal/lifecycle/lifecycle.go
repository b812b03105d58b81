// Package lifecycle implements backends.Server for transports that can be told to end in two
// ways: when their connections have ended by themselves, or at once.
//
// It knows nothing of sockets, and does not end anything itself. Any goroutine may call the
// methods of a Server, but only the transport calls Ended.
package lifecycle

import (
	"context"
	"net/netip"
)

// Server implements backends.Server.
type Server struct {
	addr netip.AddrPort
	stop func(cut bool)
	done chan struct{}
	err  error // set before done is closed
}

// New makes a Server that is bound at addr. Shutdown calls stop(false), which has to make the
// transport stop accepting and end when its last connection has ended, and stop(true) if
// connections have to be cut. Both may be called more than once and from any goroutine. They
// do not wait: the transport calls Ended.
func New(addr netip.AddrPort, stop func(cut bool)) *Server {
	return &Server{addr: addr, stop: stop, done: make(chan struct{})}
}

// Ended says that the transport has ended and nothing of it is left. err is why it ended by
// itself, or nil after Shutdown. It is called once.
func (s *Server) Ended(err error) {
	s.err = err
	close(s.done)
}

// Addr is the bound address.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Done is closed when the transport has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the transport ended by itself; nil after Shutdown. It is valid after Done.
func (s *Server) Err() error { return s.err }

// Shutdown waits until all connections have ended. It cuts those that are left when ctx ends,
// and then returns the cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop(false)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-s.done: // before ctx ended, or at the same time
		return nil
	default:
	}
	s.stop(true)
	<-s.done
	return context.Cause(ctx)
}
