package gnet_test

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

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/gnet"
	"chatbench/core"
	"chatbench/core/wire"
)

// blocker lets everybody in, but holds up the loop while it decides on a name
// of 60 octets, which no real one may do: meanwhile input can pile up.
type blocker struct{ entered, resume chan struct{} }

func (b blocker) Authenticate(_ netip.AddrPort, name, _ string, answer func(error)) {
	if len(name) == 60 {
		close(b.entered)
		<-b.resume
	}
	answer(nil)
}

// TestInputOfABrokenConnection: a client talks and is gone before any of it is
// read. Another says so much at once that the loop writes within its turn: it
// fails to write to the client that is gone, whose input is still unread. All
// of that has to be heard.
func TestInputOfABrokenConnection(t *testing.T) {
	gate := blocker{make(chan struct{}), make(chan struct{})}
	room := core.NewRoom(core.Config{Authenticator: gate, LagLimit: 64 << 20})
	s, err := gnet.Backend.Start(backends.Config{
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
	name := strings.Repeat("t", 60)
	send(t, talker, append(wire.AppendCred(nil, name, "x"), make([]byte, 20<<10)...))
	<-gate.entered
	const messages = 1000
	send(t, leaver, bytes.Repeat(wire.AppendChat(nil, "goodbye"), messages))
	leaver.Close()
	close(gate.resume)
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

// send writes, and waits until the server's kernel has it all.
func send(t *testing.T, c *net.TCPConn, p []byte) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	for waits := 1; waits > 0; time.Sleep(100 * time.Microsecond) {
		raw.Control(func(fd uintptr) { waits, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil {
			t.Fatal(err)
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
	c.Write(wire.AppendCred(nil, name, "x"))
	granted := make([]byte, len(wire.AppendGranted(nil)))
	if n, err := c.Read(granted); n != len(granted) {
		t.Fatalf("%s is not let in: %q, %v", name, granted[:n], err)
	}
	return c
}
