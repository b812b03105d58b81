package evio_test

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
	"chatbench/backends/evio"
	"chatbench/core"
	"chatbench/core/wire"
)

// blocker lets everybody in, but holds up the loop while it decides on a name
// that begins with "block", which no real one may do: meanwhile the test
// arranges what the loop finds in its next turn.
type blocker struct{ entered, resume chan struct{} }

func (b blocker) Authenticate(_ netip.AddrPort, name, _ string, answer func(error)) {
	if strings.HasPrefix(name, "block") {
		b.entered <- struct{}{}
		<-b.resume
	}
	answer(nil)
}

// TestInputOfABrokenConnection: a client talks and resets its connection while
// evio has output for it. evio writes first, fails, and closes the connection
// with all that the client said unread; it has to be heard.
func TestInputOfABrokenConnection(t *testing.T) {
	const messages = 1000
	b := blocker{make(chan struct{}), make(chan struct{})}
	s, _ := serve(t, core.Config{Authenticator: b})
	bob, leaver := login(t, s, "bob"), login(t, s, "leaver")
	first, second, third := dial(t, s), dial(t, s), dial(t, s)
	// The first says something. In the turn after that, which the second holds
	// up, the bell wakes the clients; in the next, which the third holds up,
	// they are handed their output; in the one after that it is written.
	send(t, first, wire.AppendChat(wire.AppendCred(nil, "block1", "x"), "hello"))
	<-b.entered
	send(t, second, wire.AppendCred(nil, "block2", "x"))
	b.resume <- struct{}{}
	<-b.entered
	send(t, third, wire.AppendCred(nil, "block3", "x"))
	b.resume <- struct{}{}
	<-b.entered
	send(t, leaver, bytes.Repeat(wire.AppendChat(nil, "goodbye"), messages))
	leaver.SetLinger(0)
	leaver.Close()
	b.resume <- struct{}{}
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

func serve(t *testing.T, cfg core.Config) (backends.Server, *backends.Counters) {
	room, counters := core.NewRoom(cfg), new(backends.Counters)
	s, err := evio.Backend.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: counters,
		Log: slog.New(slog.DiscardHandler), Backlog: 16, Linger: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		room.Drain()
		if err := s.Shutdown(ctx); err != nil || s.Err() != nil {
			t.Errorf("Shutdown: %v, Err: %v", err, s.Err())
		}
	})
	return s, counters
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
