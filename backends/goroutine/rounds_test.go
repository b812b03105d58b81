package goroutine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// TestPace: a reader that feeds much is blocked while a round runs, until a round has ended that
// began after what it fed.
func TestPace(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	began, end := make(chan struct{}), make(chan struct{})
	r := newRounds(room, func() {
		began <- struct{}{}
		<-end
	})
	go r.run()
	room.Join(netip.AddrPort{}, r, new(conn)) // whom the room wakes
	talker := room.Join(netip.AddrPort{}, nopWaker{}, nil)
	talker.Feed(wire.AppendCred(nil, "talker", "x"))
	say := func(octets int) { talker.Feed(wire.AppendChat(nil, strings.Repeat("x", octets))) }

	say(1000)
	<-began
	r.pace() // little was said: nobody waits
	for range paceOctets / 1000 {
		say(1000)
	}
	paced := make(chan struct{})
	go func() { r.pace(); close(paced) }()
	end <- struct{}{} // of the round that began before most was said
	<-began
	select {
	case <-paced:
		t.Fatal("a reader went on before the writers had what it fed")
	case <-time.After(20 * time.Millisecond):
	}
	close(end)
	go func() {
		for range began {
		}
	}()
	<-paced
	r.stop()
	close(began)
}

// nopWaker is a Waker that does nothing.
type nopWaker struct{}

func (nopWaker) WakeRoom()          {}
func (nopWaker) Wake(*core.Session) {}
