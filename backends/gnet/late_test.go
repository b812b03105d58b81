package gnet

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/backends/internal/acceptor"
	"chatbench/core"
)

// TestLateRing: ringing after Shutdown writes to no descriptor.
func TestLateRing(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	cfg := backends.Config{Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Linger: time.Second}
	accept, err := acceptor.ListenConns(cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(cfg, accept)
	if l.bell.ring() {
		t.Error("rung before there is a loop")
	}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	accept.Run(l.take)
	server := l.adapter.Serve(accept, l.close)
	client, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); room.Snapshot().Clients == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client does not join")
		}
	}
	if !l.bell.ring() {
		t.Error("not rung though there is a loop")
	}
	client.Close()
	room.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	backendtest.Untouched(t, func() {
		if l.bell.ring() {
			t.Error("rung after Shutdown")
		}
	})
}
