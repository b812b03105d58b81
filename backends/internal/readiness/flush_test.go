package readiness

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// arrive connects a client that does not log in.
func arrive(t testing.TB, l *loop) net.Conn {
	t.Helper()
	peer, err := net.Dial("tcp", l.listener.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	for before := len(l.live); len(l.live) == before; {
		l.accept()
	}
	return peer
}

// TestFlushVisitsTheRoomOnly: a flush visits only clients that are in the room and not blocked.
func TestFlushVisitsTheRoomOnly(t *testing.T) {
	t.Run("one by one", func(t *testing.T) { flushVisitsTheRoomOnly(t, newTestLoop(t, newTestRoom())) })
	t.Run("together", func(t *testing.T) {
		l, _ := newBatchLoop(t)
		flushVisitsTheRoomOnly(t, l)
	})
}

func flushVisitsTheRoomOnly(t *testing.T, l *loop) {
	visits := func(want int, when string) {
		t.Helper()
		l.flush()
		if n := len(l.recipients); n != want {
			t.Errorf("%s: a flush visits %d connections, want %d", when, n, want)
		}
		for i, c := range l.recipients {
			if c.recipientIndex != i || c.blocked || c.finSent || c.gone {
				t.Errorf("%s: %+v is no recipient", when, c)
			}
		}
	}
	for range 50 {
		arrive(t, l)
	}
	visits(0, "nobody is logged in")
	alice, _ := connect(t, l, "alice")
	bob, bobsEnd := connect(t, l, "bob")
	carol, _ := connect(t, l, "carol")
	visits(3, "three are logged in")

	if err := unix.SetsockoptInt(bob.id.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10); err != nil {
		t.Fatal(err)
	}
	for range 100_000 { // until bob's kernel buffers are full
		if bob.blocked {
			break
		}
		bob.session.Feed(wire.AppendChat(nil, strings.Repeat("x", 900)))
		l.flush()
	}
	visits(2, "one is blocked")
	carol.session.Feed(wire.AppendClose(nil))
	visits(1, "one is blocked and one ends")
	go io.Copy(io.Discard, bobsEnd)
	for bob.blocked {
		unix.Poll([]unix.PollFd{{Fd: int32(bob.id.FD()), Events: unix.POLLOUT}}, 20_000)
		l.handle(Event{ID: bob.id, Writable: true})
	}
	visits(2, "it is not blocked any more")
	l.drop(alice, 0)
	visits(1, "one has gone")
}

// BenchmarkFlush is one message to a hundred clients, besides some that are connected and not logged
// in.
func BenchmarkFlush(b *testing.B) {
	for _, idle := range []int{0, 10_000} {
		b.Run(fmt.Sprint("idle=", idle), func(b *testing.B) {
			room := newTestRoom()
			l := newTestLoop(b, room)
			var talker *conn
			for i := range 100 {
				c, peer := connect(b, l, fmt.Sprint("c", i))
				go io.Copy(io.Discard, peer)
				talker = c
			}
			real := len(l.live)
			for range idle { // they need no sockets, because nothing is written to them
				c := &conn{loop: l, recipientIndex: -1}
				c.session = room.Join(talker.session.Peer(), l, c)
				l.live = append(l.live, c)
			}
			b.Cleanup(func() { l.live = l.live[:real] })
			frame := wire.AppendChat(nil, strings.Repeat("x", 64))
			for b.Loop() {
				talker.session.Feed(frame)
				l.flush()
			}
		})
	}
}
