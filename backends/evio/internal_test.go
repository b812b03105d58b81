package evio

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	lib "github.com/tidwall/evio"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// otherConn is a connection as another version of evio might have it.
type otherConn struct {
	lib.Conn
	Out []byte
}

// TestLayoutOfAnother: a connection with other fields is an error at the start.
func TestLayoutOfAnother(t *testing.T) {
	for _, c := range []lib.Conn{otherConn{}, &otherConn{}} {
		if _, err := layoutOf(c); err == nil || !strings.Contains(err.Error(), "is not v1.0.8") {
			t.Errorf("%T: %v", c, err)
		}
	}
}

// nopWaker is a Waker that does nothing.
type nopWaker struct{}

func (nopWaker) WakeRoom()          {}
func (nopWaker) Wake(*core.Session) {}

// TestFeedWaits: one read of short messages with a long name is not fed at once, because it
// makes more output than a client may be behind. Nothing of it is lost.
func TestFeedWaits(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	l := newLoop(backends.Config{Room: room})
	c := &conn{loop: l, session: room.Join(netip.AddrPort{}, nopWaker{}, nil)}
	const messages = readSize / 2
	name := strings.Repeat("n", 60)
	rest := append(wire.AppendCred(nil, name, "x"), make([]byte, readSize)...)
	rounds := 0
	for ; len(rest) > 0 && rounds < 100; rounds++ {
		l.roundStart = room.Said()
		rest = l.feed(c, rest)
		if said := room.Said() - l.roundStart; said > 3*backends.FlushAfter {
			t.Fatalf("%d octets were said in a round", said)
		}
	}
	if st := room.Snapshot(); st.Messages != messages || rounds < 3 {
		t.Errorf("%d of %d messages were said, in %d rounds", st.Messages, messages, rounds)
	}
}

// TestRoundGoesOnWithoutFlooder: a client with too much unfed input is given no more output
// in this round. The round must not wait for it, since its input waits for the next round.
func TestRoundGoesOnWithoutFlooder(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	l := newLoop(backends.Config{Room: room})
	c := &conn{loop: l, session: room.Join(netip.AddrPort{}, nopWaker{}, nil)}
	c.view.out = reflect.ValueOf(new([]byte)).Elem()
	c.unfed, c.hasMore, c.inRound = make([]byte, maxUnfed+1), true, true
	l.round = 1
	l.list(c)
	l.look()
	if l.round != 0 || !c.hasMore || len(l.open) != 1 {
		t.Errorf("the round waits for %d; more %t, open %d", l.round, c.hasMore, len(l.open))
	}
}

// mutedConn is a connection of evio's for which Wake does nothing.
type mutedConn struct{ lib.Conn }

func (mutedConn) Wake() {}

// TestLastWordsOfStalled: a stalled client is not given up while there is output for it, even
// if its session ends at the same time.
func TestLastWordsOfStalled(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	for i := range 20_000 {
		c := &conn{loop: newLoop(backends.Config{Room: room}), evio: mutedConn{}, unfed: []byte{0}} // so that it is not read
		c.session = room.Join(netip.AddrPort{}, nopWaker{}, nil)
		c.view.out = reflect.ValueOf(new([]byte)).Elem()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				_, ended := c.session.Closing()
				if c.pollStalled(); c.leaving || ended {
					return
				}
			}
		}()
		c.session.Feed([]byte{9})
		<-over
		if c.leaving {
			t.Fatalf("session %d is given up with %q unsent", i, c.session.Next())
		}
		c.session.Leave(core.ReasonEOF)
	}
}
