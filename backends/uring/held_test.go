package uring

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"chatbench/backends/internal/loopgroup"
	"chatbench/backends/internal/readiness"
	"chatbench/core"
	"chatbench/core/wire"
)

// TestHeldIsNotRead: of a client whose session is Held, no more input is read than the kernel had returned
// before.
func TestHeldIsNotRead(t *testing.T) {
	r := serve(t, core.Config{Flood: core.Flood{Rate: 0.001, Burst: 1}}, 0)
	alice := r.login("alice", 0)
	batch := bytes.Repeat(wire.AppendChat(nil, "hello"), 8<<10)
	for range 50 {
		alice.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := alice.Write(batch); err != nil {
			break // the kernel holds no more
		}
	}
	r.eventually(func() bool { return r.room.Snapshot().FloodWaits == 1 }, "her input waits")
	for i := range 50 { // turns in which she could be read
		r.login(fmt.Sprint("c", i), 0)
	}
	const most = 64 * bufferSize // the kernel hands over some 33 buffers at once
	if n := r.counters.BytesIn.Load(); n > most {
		t.Errorf("%d octets were read, %d at most", n, most)
	}
}

// TestBacklogComesFirst: while there is a backlog, new input is appended to it, even when the session is not
// Held any more.
func TestBacklogComesFirst(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	cfg := testConfig()
	cfg.Room = room
	l := &loop{cfg: cfg}
	l.bell, _ = readiness.NewDoorbell()
	defer l.bell.Close()
	l.member = loopgroup.New(room, l.bell)[0]
	c := &conn{loop: l, recipientIndex: -1, ended: true} // nothing more comes
	c.session = room.Join(netip.AddrPort{}, l, c)
	c.session.Feed(wire.AppendCred(nil, "alice", "x"))
	c.session.Wrote(len(c.session.Next()))
	c.backlog = wire.AppendChat(nil, "first")
	l.feedOrQueue(c, wire.AppendChat(nil, "second"))
	if p := c.session.Next(); p != nil {
		t.Errorf("%q was said", p)
	}
	l.take(received{conn: c, resumed: true})
	want := wire.AppendSaid(wire.AppendSaid(nil, "alice", []byte("first")), "alice", []byte("second"))
	if got := c.session.Next(); !bytes.Equal(got, want) {
		t.Errorf("%q was said, want %q", got, want)
	}
}

// TestHeldKeepsOrder: a client sends at once what fills many buffers, and flood control lets only a little
// pass at a time. All of it is delivered, in order, though the receive is stopped and started again and
// again; the client's FIN comes after it.
func TestHeldKeepsOrder(t *testing.T) {
	const messages = 4000
	r := serve(t, core.Config{Flood: core.Flood{Rate: 8000, Burst: 100}, MaxClients: 100}, 0)
	bob, alice := r.login("bob", 0), r.login("alice", 0)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for every := time.Tick(5 * time.Millisecond); ; {
			select {
			case now := <-every:
				r.room.Tick(now)
			case <-stop:
				return
			}
		}
	}()
	var out, want []byte
	for i := range messages {
		text := fmt.Sprintf("no %d %050d", i, i)
		out = wire.AppendChat(out, text)
		want = wire.AppendSaid(want, "alice", []byte(text))
	}
	go io.Copy(io.Discard, alice)
	if _, err := alice.Write(out); err != nil {
		t.Fatal(err)
	}
	if err := alice.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(bob, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what was said and what was heard differ, or: %v", err)
	}
	r.eventually(func() bool { return r.room.Snapshot().Ends[core.ReasonEOF] == 1 }, "her FIN is noticed")
	if waits := r.room.Snapshot().FloodWaits; waits < 10 {
		t.Errorf("her input waited %d times", waits)
	}
}

// TestGoneWhileHeldAndClosing: the session of a client whose input waits, and who has left, closes. The client
// is not kept until Farewell, though nothing more can be sent to it and the room does not wake its session.
func TestGoneWhileHeldAndClosing(t *testing.T) {
	r := serve(t, core.Config{Flood: core.Flood{Rate: 1e-6, Burst: 10}, Farewell: time.Hour}, 0)
	bob, alice := r.login("bob", 0), r.login("alice", 0)
	alice.Write(bytes.Repeat(wire.AppendChat(nil, ""), 40<<10))
	r.eventually(func() bool { return r.room.Snapshot().FloodWaits == 1 }, "her input waits")
	go io.Copy(io.Discard, bob)
	r.eventually(func() bool { return unsent(t, alice) == 0 }, "the server's kernel has all of it")
	heard := make([]byte, 10*len(wire.AppendSaid(nil, "alice", nil)))
	if _, err := io.ReadFull(alice, heard); err != nil { // if it were unread, Close would send a reset in place of FIN
		t.Fatal(err)
	}
	alice.Close()
	writes := r.counters.Writes.Load()
	bob.Write(wire.AppendChat(nil, "hello"))
	r.eventually(func() bool { return r.counters.Writes.Load() >= writes+2 }, "both are sent his message") // she answers with a reset
	r.room.Drain()
	bob.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
