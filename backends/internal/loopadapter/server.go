package loopadapter

import (
	"net/netip"
	"sync"

	"chatbench/backends/internal/lifecycle"
)

// Accepting is what accepts the connections of a server.
type Accepting interface {
	Addr() netip.AddrPort
	Close() // ExpectJoin is not called after it has returned
}

// Serve makes a backends.Server of an Adapter whose library is running. When no connection is
// left endLoop is called; it ends the library's loop and waits for it.
func (a *Adapter) Serve(from Accepting, endLoop func()) *lifecycle.Server {
	var once sync.Once
	var s *lifecycle.Server
	s = lifecycle.New(from.Addr(), func(cut bool) {
		once.Do(func() {
			go func() {
				a.end(from, endLoop)
				s.Ended(nil) // neither clients nor a lack of descriptors end it by itself
			}()
		})
		if cut {
			a.cutting.Store(true)
			a.ring()
		}
	})
	return s
}

// end ends the parts in the order of their dependencies.
func (a *Adapter) end(from Accepting, endLoop func()) {
	from.Close()
	a.stopping.Store(true)
	if a.ring() { // otherwise no connection ever came
		<-a.empty
	}
	a.timer.Stop()
	endLoop()
}
