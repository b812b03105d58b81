package guest

import (
	"context"
	"net/netip"
	"sync"
)

// Accepting is where the connections of a Server come from.
type Accepting interface {
	Addr() netip.AddrPort
	Close() // no more are Coming when it returns
}

// Server is the transport as backends.Server has it.
type Server struct {
	guest     *Guest
	accepting Accepting
	end       func()
	stop      sync.Once
	done      chan struct{}
}

// Serve makes a Server of a Guest whose library is at work. end ends the
// library's loop when nobody is left, and returns when nothing of it is.
func (g *Guest) Serve(a Accepting, end func()) *Server {
	return &Server{guest: g, accepting: a, end: end, done: make(chan struct{})}
}

// Addr is where the server is bound.
func (s *Server) Addr() netip.AddrPort { return s.accepting.Addr() }

// Done is closed when nothing is left.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil: nothing that a client or a lack of descriptors does ends it.
func (s *Server) Err() error { return nil }

// Shutdown stops accepting and waits for the connections to end; those which
// are left when ctx ends are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { go s.wind() })
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-s.done: // before ctx ended, or at the same time
		return nil
	default:
		s.guest.cutting.Store(true)
		s.guest.ring()
		<-s.done
		return context.Cause(ctx)
	}
}

// wind ends the parts in the order in which they need one another.
func (s *Server) wind() {
	s.accepting.Close()
	s.guest.stopping.Store(true)
	s.guest.ring()
	<-s.guest.empty
	s.guest.timer.Stop()
	s.end()
	close(s.done)
}
