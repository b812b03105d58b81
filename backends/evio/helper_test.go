package evio_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/evio"
	"chatbench/core"
	"chatbench/core/wire"
)

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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		room.Drain()
		if err := s.Shutdown(ctx); err != nil || s.Err() != nil {
			t.Errorf("Shutdown: %v, Err: %v", err, s.Err())
		}
	})
	return s, counters
}

func dial(t *testing.T, s backends.Server) *net.TCPConn {
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
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
