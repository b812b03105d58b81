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

// TestShapeOfAnother: a connection that is built in another way is told at the
// start, and not by garbled output.
func TestShapeOfAnother(t *testing.T) {
	for _, c := range []lib.Conn{otherConn{}, &otherConn{}} {
		if _, err := shapeOf(c); err == nil || !strings.Contains(err.Error(), "is not v1.0.8") {
			t.Errorf("%T: %v", c, err)
		}
	}
}

// quiet is a Waker that does nothing.
type quiet struct{}

func (quiet) WakeRoom()          {}
func (quiet) Wake(*core.Session) {}

// TestFeedWaits: one read of short messages with a long name is not fed at
// once, for it makes more output than anybody may be behind; nor is any of it
// lost.
func TestFeedWaits(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	l := newLoop(backends.Config{Room: room})
	c := &conn{loop: l, session: room.Join(netip.AddrPort{}, quiet{}, nil)}
	const messages = readSize / 2
	name := strings.Repeat("n", 60)
	rest := append(wire.AppendCred(nil, name, "x"), make([]byte, readSize)...)
	rounds := 0
	for ; len(rest) > 0 && rounds < 100; rounds++ {
		l.mark = room.Said()
		rest = l.feed(c, rest)
		if said := room.Said() - l.mark; said > 3*backends.FlushAfter {
			t.Fatalf("%d octets were said in a round", said)
		}
	}
	if st := room.Snapshot(); st.Messages != messages || rounds < 3 {
		t.Errorf("%d of %d messages were said, in %d rounds", st.Messages, messages, rounds)
	}
}

// TestRoundGoesOnWithoutFlooder: a client whose input has piled up since it
// was handed output in this round waits for the next. The round must not wait
// for it, for its input waits for the next round as well.
func TestRoundGoesOnWithoutFlooder(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	l := newLoop(backends.Config{Room: room})
	c := &conn{loop: l, session: room.Join(netip.AddrPort{}, quiet{}, nil)}
	c.view.out = reflect.ValueOf(new([]byte)).Elem()
	c.stash, c.more, c.inRound = make([]byte, stashSize+1), true, true
	l.round = 1
	l.list(c)
	l.look()
	if l.round != 0 || !c.more || len(l.open) != 1 {
		t.Errorf("the round waits for %d; more %t, open %d", l.round, c.more, len(l.open))
	}
}

// deaf is a connection of evio's that nobody wakes.
type deaf struct{ lib.Conn }

func (deaf) Wake() {}

// TestLastWordsOfStalled: a client that is stalled is not given up while there
// is something for it, also if its session ends in this very moment.
func TestLastWordsOfStalled(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	for i := range 20_000 {
		c := &conn{loop: newLoop(backends.Config{Room: room}), evio: deaf{}, stash: []byte{0}} // it is not read then
		c.session = room.Join(netip.AddrPort{}, quiet{}, nil)
		c.view.out = reflect.ValueOf(new([]byte)).Elem()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				_, ended := c.session.Closing()
				if c.endure(); c.leaving || ended {
					return
				}
			}
		}()
		c.session.Feed([]byte{9})
		<-over
		if c.leaving {
			t.Fatalf("session %d is given up with %q to be said", i, c.session.Next())
		}
		c.session.Leave(core.ReasonEOF)
	}
}
