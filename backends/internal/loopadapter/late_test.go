package loopadapter

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"

	"chatbench/backends"
	"chatbench/core"
)

// sink is a Conn that takes everything.
type sink struct{ got []byte }

func (s *sink) Send(p []byte) (int, error) {
	s.got = append(s.got, p...)
	return len(p), nil
}

func (s *sink) Sent() (int, error) { return 0, nil }
func (s *sink) Finish()            {}
func (s *sink) Close()             {}

// nopWaker is a Waker that does nothing.
type nopWaker struct{}

func (nopWaker) WakeRoom()          {}
func (nopWaker) Wake(*core.Session) {}

func config() backends.Config {
	return backends.Config{
		Room:     core.NewRoom(core.Config{Authenticator: core.OpenDoor{}}),
		Counters: new(backends.Counters), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// TestLastWords: a client whose session ends while it is written to is sent its last
// words before the FIN.
func TestLastWords(t *testing.T) {
	cfg := config()
	a := New(cfg, Library{Ring: func() bool { return true }})
	const want = "\x00server: unknown frame type\x00\x03\x00"
	for i := range 50_000 {
		to := new(sink)
		c := &Client{adapter: a, conn: to, offer: firstOffer, session: cfg.Room.Join(netip.AddrPort{}, nopWaker{}, nil)}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for !c.fin {
				c.write()
			}
		}()
		c.session.Feed([]byte{9})
		<-over
		if string(to.got) != want {
			t.Fatalf("session %d: the FIN was sent after %q", i, to.got)
		}
		c.session.Leave(core.ReasonEOF)
	}
}

// accepting is an acceptor without connections.
type accepting struct{}

func (accepting) Addr() netip.AddrPort { return netip.AddrPort{} }
func (accepting) Close()               {}

// TestLateWakes: wakes that come after Shutdown are not kept. Shutdown returns whether or
// not there ever was a loop.
func TestLateWakes(t *testing.T) {
	for _, loop := range []bool{false, true} {
		var a *Adapter
		var ended atomic.Bool
		a = New(config(), Library{Ring: func() bool {
			if loop && !ended.Load() {
				go a.Turn()
			}
			return loop && !ended.Load()
		}})
		s := a.Serve(accepting{}, func() { ended.Store(true) })
		if err := s.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if loop {
			a.post(new(Client))
		}
		a.WakeRoom()
		if len(a.posted) > 0 {
			t.Errorf("%d wakes are kept after Shutdown", len(a.posted))
		}
	}
}
