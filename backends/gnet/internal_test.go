package gnet

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"

	lib "github.com/panjf2000/gnet/v2"

	"chatbench/backends"
	"chatbench/core"
)

// sink is a connection of gnet's that takes everything.
type sink struct {
	lib.Conn
	got []byte
}

func (s *sink) Fd() int               { return -1 }
func (s *sink) OutboundBuffered() int { return 0 }

func (s *sink) Write(p []byte) (int, error) {
	s.got = append(s.got, p...)
	return len(p), nil
}

// quiet is a Waker that does nothing.
type quiet struct{}

func (quiet) WakeRoom()          {}
func (quiet) Wake(*core.Session) {}

// TestLastWords: a client whose session ends while it is written to is sent
// its last words before the FIN.
func TestLastWords(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	l := newLoop(backends.Config{
		Room: room, Counters: new(backends.Counters), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	const want = "\x00server: unknown frame type\x00\x03\x00"
	for i := range 50_000 {
		to := new(sink)
		c := &conn{loop: l, gnet: to, session: room.Join(netip.AddrPort{}, quiet{}, nil)}
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
