package nbio_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/nbio"
	"chatbench/core"
	"chatbench/core/wire"
)

// latch lets everybody in, but holds the poller while it decides on a name of
// 60 octets, which no real one may do: input piles up meanwhile.
type latch struct{ entered, resume chan struct{} }

func (l latch) Authenticate(_ netip.AddrPort, name, _ string, answer func(error)) {
	if len(name) == 60 {
		close(l.entered)
		<-l.resume
	}
	answer(nil)
}

// TestInputOfABrokenConnection: a client talks and is gone before any of it is
// read. Another says so much that the poller writes before it has read that:
// writing fails, and what the client said is heard nevertheless.
func TestInputOfABrokenConnection(t *testing.T) {
	door := latch{make(chan struct{}), make(chan struct{})}
	room := core.NewRoom(core.Config{Authenticator: door, LagLimit: 64 << 20})
	s, err := nbio.Backend.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Backlog: 16, Linger: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		room.Drain()
		s.Shutdown(ctx)
	}()
	bob, leaver, talker := login(t, s, "bob"), login(t, s, "leaver"), dial(t, s)
	much := make([]byte, 20<<10) // empty messages: with this name, 0.6 MB are said
	sendAll(t, talker, append(wire.AppendCred(nil, strings.Repeat("t", 60), "x"), much...))
	<-door.entered
	const messages = 1000
	sendAll(t, leaver, bytes.Repeat(wire.AppendChat(nil, "goodbye"), messages))
	leaver.SetLinger(0)
	leaver.Close()
	close(door.resume)
	in := bufio.NewReader(bob)
	for heard := 0; heard < messages; {
		text, err := in.ReadString(0)
		if err != nil {
			t.Fatalf("%d of %d messages were heard: %v", heard, messages, err)
		}
		if strings.HasPrefix(text, "leaver: ") {
			heard++
		}
	}
}

func dial(t *testing.T, s backends.Server) *net.TCPConn {
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

func login(t *testing.T, s backends.Server, name string) *net.TCPConn {
	c := dial(t, s)
	sendAll(t, c, wire.AppendCred(nil, name, "x"))
	granted := make([]byte, len(wire.AppendGranted(nil)))
	if n, err := c.Read(granted); n != len(granted) {
		t.Fatalf("%s is not let in: %q, %v", name, granted[:n], err)
	}
	return c
}
