package uring

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

// blockingAuth grants every login, but the one of "late" only when resume is closed. Until then it blocks
// the loop, as no Authenticator should.
type blockingAuth struct{ entered, resume chan struct{} }

func (a blockingAuth) Authenticate(l *core.Login) {
	if l.Name == "late" {
		close(a.entered)
		<-a.resume
	}
	l.Answer(nil)
}

// unsent is how many octets of a client the other end's kernel has not confirmed.
func unsent(t *testing.T, c *net.TCPConn) (n int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTurnTakesAllThatIsReady: what many clients have said since the last turn goes to each of them in one
// write.
func TestTurnTakesAllThatIsReady(t *testing.T) {
	const clients = 60 // three times what the kernel completes in one call
	auth := blockingAuth{make(chan struct{}), make(chan struct{})}
	r := serve(t, core.Config{Authenticator: auth}, 0)
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
	<-auth.entered
	for _, c := range all {
		c.Write(wire.AppendChat(nil, "hello"))
	}
	for _, c := range all {
		r.eventually(func() bool { return unsent(t, c) == 0 }, "all have come to the server's kernel")
	}
	before := r.counters.Writes.Load()
	close(auth.resume)
	heard := make([]byte, clients*len("\x00c00: hello\x00"))
	for _, c := range all {
		c.SetDeadline(time.Now().Add(timeout))
		if _, err := io.ReadFull(c, heard); err != nil {
			t.Fatal(err)
		}
	}
	// One to each, two to the late client, and slack for input that came later.
	if n := r.counters.Writes.Load() - before; n > clients*3/2 {
		t.Errorf("%d writes to %d clients", n, clients)
	}
}
