package uring

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// timeout is how long a test waits for anything.
const timeout = time.Minute

// rig is a running server.
type rig struct {
	t        *testing.T
	room     *core.Room
	counters *backends.Counters
	server   backends.Server
}

// testConfig is a Config without a room.
func testConfig() backends.Config {
	return backends.Config{
		Listen: "127.0.0.1:0", Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
		MaxClients: 100, Backlog: 100, Linger: time.Second,
	}
}

func serve(t *testing.T, cfg core.Config, sendBuffer int) *rig {
	t.Helper()
	return serveLoops(t, cfg, sendBuffer, 1)
}

func serveLoops(t *testing.T, cfg core.Config, sendBuffer, loops int) *rig {
	t.Helper()
	if err := Backend.Runs(); err != nil {
		t.Skip(err)
	}
	if cfg.Now = time.Now(); cfg.Authenticator == nil {
		cfg.Authenticator = core.OpenDoor{}
	}
	net := testConfig()
	net.Room, net.SendBuffer, net.Loops = core.NewRoom(cfg), sendBuffer, loops
	r := &rig{t: t, room: net.Room, counters: net.Counters}
	var err error
	if r.server, err = start(net); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.room.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.server.Shutdown(ctx) // cuts those that do not read
	})
	return r
}

// login connects and logs in. A read buffer of 0 is the kernel's.
func (r *rig) login(name string, readBuffer int) *net.TCPConn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	c := conn.(*net.TCPConn)
	if readBuffer > 0 {
		if err := c.SetReadBuffer(readBuffer); err != nil {
			r.t.Fatal(err)
		}
	}
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write(wire.AppendCred(nil, name, "x")); err != nil {
		r.t.Fatal(err)
	}
	want := wire.AppendGranted(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(want) {
		r.t.Fatalf("%s is answered %q, %v", name, got, err)
	}
	return c
}

// eventually waits until cond holds.
func (r *rig) eventually(cond func() bool, format string, args ...any) {
	r.t.Helper()
	for end := time.Now().Add(timeout); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("never happened: "+format, args...)
		}
	}
}

// say sends a message and waits until its sender receives it. It returns what the sender received.
func (r *rig) say(c *net.TCPConn, name, text string) []byte {
	r.t.Helper()
	if _, err := c.Write(wire.AppendChat(nil, text)); err != nil {
		r.t.Fatal(err)
	}
	want := wire.AppendSaid(nil, name, []byte(text))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != string(want) {
		r.t.Fatalf("%s said %.40q and heard %.40q, %v", name, text, got, err)
	}
	return want
}

func numbered(what string, i int) string { return fmt.Sprintf("%s %d %01000d", what, i, i) }
