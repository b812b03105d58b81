package loopadapter

import (
	"context"
	"net/netip"
	"sync"
)

// Accepting is what accepts the connections of a Server.
type Accepting interface {
	Addr() netip.AddrPort
	Close() // ExpectJoin is not called after it has returned
}

// Server implements backends.Server.
type Server struct {
	adapter   *Adapter
	accepting Accepting
	endLoop   func()
	stop      sync.Once
	done      chan struct{}
}

// Serve makes a Server of an Adapter whose library is running. When no connection is
// left endLoop is called; it ends the library's loop and waits for it.
func (a *Adapter) Serve(from Accepting, endLoop func()) *Server {
	return &Server{adapter: a, accepting: from, endLoop: endLoop, done: make(chan struct{})}
}

// Addr is where the server is bound.
func (s *Server) Addr() netip.AddrPort { return s.accepting.Addr() }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil: neither clients nor a lack of descriptors end the server.
func (s *Server) Err() error { return nil }

// Shutdown stops accepting and waits for the connections to end; those which
// are left when ctx ends are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { go s.end() })
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-s.done: // before ctx ended, or at the same time
		return nil
	default:
		s.adapter.cutting.Store(true)
		s.adapter.ring()
		<-s.done
		return context.Cause(ctx)
	}
}

// end ends the parts in the order of their dependencies.
func (s *Server) end() {
	s.accepting.Close()
	s.adapter.stopping.Store(true)
	if s.adapter.ring() { // otherwise no connection ever came
		<-s.adapter.empty
	}
	s.adapter.timer.Stop()
	s.endLoop()
	close(s.done)
}
