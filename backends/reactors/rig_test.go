package reactors_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/internal/readiness"
	"chatbench/core"
	"chatbench/core/wire"
)

// timeout is how long a test waits for anything.
const timeout = time.Minute

// withLoops returns the transport with the given number of loops.
func withLoops(n int) backends.Backend {
	return backends.Backend{
		Name: fmt.Sprintf("reactors with %d loops", n),
		Start: func(cfg backends.Config) (backends.Server, error) {
			return readiness.Start(cfg, n, readiness.NewEpoll)
		},
	}
}

// raiseProcs raises GOMAXPROCS to the number of loops until the test ends, as it is where the transport
// runs.
func raiseProcs(t testing.TB, n int) {
	if old := runtime.GOMAXPROCS(0); n > old {
		runtime.GOMAXPROCS(n)
		t.Cleanup(func() { runtime.GOMAXPROCS(old) })
	}
}

// rig is a running server.
type rig struct {
	t      testing.TB
	room   *core.Room
	server backends.Server
}

func serve(t testing.TB, loops int) *rig {
	room := core.NewRoom(core.Config{
		MaxClients: 2000, MaxPending: 2000, Authenticator: core.OpenDoor{}, Now: time.Now(),
		LagLimit: 8 << 20, // the clients share the processors with the loops, and may be slow themselves
	})
	server, err := withLoops(loops).Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Backlog: 1024, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	go func() {
		for every := time.Tick(100 * time.Millisecond); ; {
			select {
			case now := <-every:
				room.Tick(now)
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() {
		room.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		close(quit)
	})
	return &rig{t, room, server}
}

// client is one of the room's clients. Its name is always 64 octets long.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	name string
}

func (r *rig) login(i int) *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(timeout))
	c := &client{conn, bufio.NewReaderSize(conn, 64<<10), fmt.Sprintf("c%063d", i)}
	if _, err := conn.Write(wire.AppendCred(nil, c.name, "x")); err != nil {
		r.t.Fatal(err)
	}
	answer := make([]byte, len(wire.AppendGranted(nil)))
	for n := 0; n < len(answer); {
		k, err := c.in.Read(answer[n:])
		if err != nil {
			r.t.Fatalf("no answer to the login: %v", err)
		}
		n += k
	}
	return c
}

func (r *rig) logins(n int) (all []*client) {
	r.t.Helper()
	for i := range n {
		all = append(all, r.login(i))
	}
	return all
}

// hear reads until so many octets have come.
func (c *client) hear(octets int) error {
	buf := make([]byte, 64<<10)
	for octets > 0 {
		n, err := c.in.Read(buf)
		if octets -= n; err != nil && octets > 0 {
			return fmt.Errorf("%v, %d octets before the end", err, octets)
		}
	}
	return nil
}

// ends lists how many clients have left the room, by reason.
func (r *rig) ends() string {
	text := ""
	for why, n := range r.room.Snapshot().Ends {
		if n > 0 {
			text += fmt.Sprintf(" %v=%d", core.Reason(why), n)
		}
	}
	return text
}
