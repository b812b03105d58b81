package uring

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

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
	entered, resume := make(chan struct{}), make(chan struct{})
	r := serve(t, core.Config{Authenticator: authFunc(func(l *core.Login) {
		if l.Name == "late" { // blocks the loop, as no Authenticator should
			close(entered)
			<-resume
		}
		l.Answer(nil)
	})}, 0)
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
	<-entered
	for _, c := range all {
		c.Write(wire.AppendChat(nil, "hello"))
	}
	for _, c := range all {
		r.eventually(func() bool { return unsent(t, c) == 0 }, "all have come to the server's kernel")
	}
	before := r.counters.Writes.Load()
	close(resume)
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

// TestHeardBesideMany: while many send as fast as they can, more than fills the buffers of all turns, what
// another client sends is handled after a few turns.
func TestHeardBesideMany(t *testing.T) {
	const senders, probes = 16, 8
	const most = 32 << 20 // octets of input before its own: some 32 turns
	var counters atomic.Pointer[backends.Counters]
	handled := make(chan int64, 1)
	r := serve(t, core.Config{LagLimit: 8 << 20, LagTime: time.Hour, Authenticator: authFunc(func(l *core.Login) {
		if l.Name[0] == 'p' {
			handled <- counters.Load().BytesIn.Load()
		}
		l.Answer(nil)
	})}, 0)
	counters.Store(r.counters)
	var over sync.WaitGroup
	t.Cleanup(over.Wait) // after the connections are closed
	frames := bytes.Repeat(wire.AppendChat(nil, "hi"), 16<<10)
	var all []*net.TCPConn
	for i := range senders {
		all = append(all, r.login(fmt.Sprint("sender", i), 0))
	}
	for _, c := range all {
		over.Go(func() { io.Copy(io.Discard, c) })
		over.Go(func() {
			for err := error(nil); err == nil; {
				_, err = c.Write(frames)
			}
		})
	}
	for i := range probes {
		c, err := net.Dial("tcp", r.server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(wire.AppendCred(nil, fmt.Sprint("p", i), "x"))
		r.eventually(func() bool { return unsent(t, c.(*net.TCPConn)) == 0 }, "it has come to the server's kernel")
		from := r.counters.BytesIn.Load()
		select {
		case at := <-handled:
			if at-from > most {
				t.Errorf("%d octets of others were handled before, %d at most", at-from, most)
			}
		case <-time.After(timeout):
			t.Fatal("not handled at all")
		}
		c.Close()
	}
}
