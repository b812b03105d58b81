package uring

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"chatbench/core"
	"chatbench/core/wire"
)

// slowDoor lets everybody in, but one only when it is told to. Meanwhile the loop that
// asks waits, as none may.
type slowDoor struct{ entered, open chan struct{} }

func (d slowDoor) Authenticate(l *core.Login) {
	if l.Name == "late" {
		close(d.entered)
		<-d.open
	}
	l.Answer(nil)
}

// TestTurnTakesAllThatIsReady: what many clients have said since the last turn shares one
// write to each of them.
func TestTurnTakesAllThatIsReady(t *testing.T) {
	const clients = 60 // three times what the kernel works on at once
	door := slowDoor{make(chan struct{}), make(chan struct{})}
	r := serve(t, core.Config{Authenticator: door}, 0)
	var all []*net.TCPConn
	for i := range clients {
		all = append(all, r.login(fmt.Sprintf("c%02d", i), 0))
	}
	late, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	late.Write(wire.AppendCred(nil, "late", "x"))
	<-door.entered
	for _, c := range all {
		c.Write(wire.AppendChat(nil, "hello"))
	}
	before := r.counters.Writes.Load()
	close(door.open)
	heard := make([]byte, clients*len("\x00c00: hello\x00"))
	for _, c := range all {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, heard); err != nil {
			t.Fatal(err)
		}
	}
	// One to each, two to the one that was late, and slack for input that came later.
	if n := r.counters.Writes.Load() - before; n > clients*3/2 {
		t.Errorf("%d writes to %d clients", n, clients)
	}
}
