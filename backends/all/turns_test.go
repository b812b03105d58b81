package all_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/core"
	"chatbench/core/wire"
)

// noTurns are the transports that have no loop, or do not time its turns.
var noTurns = []string{"goroutine", "thread", "evio"}

// TestTurns: each transport with a loop times its turns if TimeTurns is set, and none does otherwise.
func TestTurns(t *testing.T) {
	for _, b := range all.All() {
		t.Run(b.Name, func(t *testing.T) {
			if err := b.Runs(); err != nil {
				t.Skip(err)
			}
			for _, timed := range []bool{true, false} {
				counters := &backends.Counters{TimeTurns: timed}
				speak(t, b, counters)
				got := counters.Turns()
				if want := timed && !slices.Contains(noTurns, b.Name); want != (got.Count > 0 && got.Sum > 0) {
					t.Errorf("timed %v: its turns are %+v", timed, got)
				}
			}
		})
	}
}

// speak makes a client log in to a transport, say something and receive it.
func speak(t *testing.T, b backends.Backend, counters *backends.Counters) {
	t.Helper()
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	s, err := b.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: counters, Log: slog.New(slog.DiscardHandler),
		MaxClients: 10, Backlog: 16, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write(wire.AppendChat(wire.AppendCred(nil, "ann", "x"), "hello")); err != nil {
		t.Fatal(err)
	}
	want := wire.AppendSaid(wire.AppendGranted(nil), "ann", []byte("hello"))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: heard %q, %v, want %q", b.Name, got, err, want)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("%s: %v", b.Name, err)
	}
}
