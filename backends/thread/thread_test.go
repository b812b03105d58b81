package thread_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/backendtest"
	"chatbench/backends/thread"
	"chatbench/core"
)

func TestConformance(t *testing.T) { backendtest.Run(t, thread.Backend) }

// TestThreads: a client has two threads, which end after it has left.
func TestThreads(t *testing.T) {
	const clients, slack = 100, 60 // the number of the runtime's own threads varies; it has 16 processors
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}})
	before := threads(t)
	s, err := thread.Backend.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters), MaxClients: clients,
		Log: slog.New(slog.DiscardHandler), Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n < 16 {
		t.Errorf("%d processors while threads block", n)
	}
	var conns []net.Conn
	for range clients {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	await := func(what string, cond func(n int) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !cond(threads(t)); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d threads, %d before", what, threads(t), before)
			}
		}
	}
	await("with clients", func(n int) bool { return n >= 2*clients })
	for _, c := range conns[clients/2:] {
		c.Close()
	}
	await("when half have left", func(n int) bool { return n <= before+clients+slack })
	room.Drain()
	for _, c := range conns {
		c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	await("after Shutdown", func(n int) bool { return n <= before+slack })
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
