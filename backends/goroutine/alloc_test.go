package goroutine

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// TestTurnAllocatesNothing: neither a message nor its delivery allocates, whether output waits or
// not.
func TestTurnAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("allocations are not counted under the race detector")
	}
	for _, c := range []backends.Coalesce{backends.CoalesceOff, backends.CoalesceAuto, backends.Coalesce(100 * time.Microsecond)} {
		t.Run(c.String(), func(t *testing.T) { turnAllocatesNothing(t, c) })
	}
}

func turnAllocatesNothing(t *testing.T, c backends.Coalesce) {
	const clients, messages = 20, 500
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	s, err := start(backends.Config{Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Linger: time.Second, Coalesce: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(t.Context())
	defer room.Drain()
	var conns []net.Conn
	buf := make([]byte, 100)
	take := func(c net.Conn, n int) {
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range clients {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Write(wire.AppendCred(nil, fmt.Sprintf("c%02d", i), "x"))
		take(c, len("1granted0"))
		conns = append(conns, c)
	}
	out := wire.AppendChat(nil, "hello")
	talk := func(messages int) {
		for range messages {
			conns[0].Write(out)
			for _, c := range conns {
				take(c, len("0c00: hello0"))
			}
		}
	}
	talk(messages) // first, for what is allocated only once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	talk(messages)
	runtime.ReadMemStats(&after)
	// The runtime's own work allocates a little, now and then.
	if n := after.Mallocs - before.Mallocs; n > clients*messages/20 {
		t.Errorf("%d allocations for %d deliveries of %d messages", n, clients*messages, messages)
	}
}
