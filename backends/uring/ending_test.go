package uring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
	"chatbench/core/wire"
)

// Clients that are dropped while they talk are reset, even if a receive that was in flight takes their last
// input: the kernel does not announce the window that this opens, so a client whose window was full would
// wait, and probe, for minutes.
func TestDroppedWhileItTalks(t *testing.T) {
	const clients = 30
	r := serve(t, core.Config{}, 0)
	var talk sync.WaitGroup
	for i := range clients {
		c := r.login(fmt.Sprintf("c%d", i), 0)
		talk.Go(func() {
			c.Write([]byte{9}) // an unknown type: the server sends FIN, and reads for Linger
			c.SetWriteDeadline(time.Now().Add(timeout))
			for said := make([]byte, 1<<20); ; {
				if _, err := c.Write(said); err != nil {
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("client %d is neither read nor reset", i)
					}
					return
				}
			}
		})
	}
	talk.Wait()
}

// authFunc is a function as an Authenticator. It runs on the goroutine of a loop.
type authFunc func(l *core.Login)

func (f authFunc) Authenticate(l *core.Login) { f(l) }

// resetUnderReceive brings a connection into a state in which the kernel may never complete its receive: more
// input than a receive takes in one go, and a reset behind it, are there when the receive is submitted. Nothing
// is written to the client. then runs right after the receive is filled in, on the loop's goroutine.
func resetUnderReceive(t *testing.T, then func(c *conn)) *rig {
	t.Helper()
	var act atomic.Pointer[func()]
	stopped, goOn := make(chan struct{}), make(chan struct{})
	r := serve(t, core.Config{
		LagLimit: 1 << 20, // none of the frames has to wait
		Authenticator: authFunc(func(l *core.Login) {
			if l.Name == "late" {
				(*act.Load())()
			}
			l.Answer(nil)
		}),
	}, 0)
	l := r.server.(*server).loops[0]
	if err := unix.SetsockoptInt(l.listener.FD, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20); err != nil {
		t.Fatal(err)
	}
	bob, alice := r.login("bob", 0), r.login("alice", 0)
	go io.Copy(io.Discard, bob)
	const pieces = 40 // of 4 KiB; the kernel completes 32 in one go
	frames := bytes.Repeat(wire.AppendFile(nil, wire.LsBody, "bob", bytes.Repeat([]byte(" x"), 500)), pieces*bufferSize/1000)
	moment := func() {
		c := l.live[1]
		l.stopReceiving(c)
		for c.receiving && l.ring.Wait(timeout, false) == nil {
			l.reap()
		}
		if c.receiving || c.session.Peer().String() != alice.LocalAddr().String() {
			t.Error("the receive is still in flight, or it is that of another client")
		}
		close(stopped)
		<-goOn
		l.receive(c)
		then(c)
	}
	act.Store(&moment)
	late, err := net.Dial("tcp", r.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { late.Close() })
	late.Write(wire.AppendCred(nil, "late", "x"))
	<-stopped
	defer close(goOn)
	alice.Write(frames)
	r.eventually(func() bool { return unsent(t, alice) == 0 }, "all has come to the server's kernel")
	alice.SetLinger(0)
	alice.Close() // on the loopback interface the reset has come when this returns
	return r
}

// TestResetBehindMuchInput: a client that was reset is noticed, though its receive has missed it.
func TestResetBehindMuchInput(t *testing.T) {
	r := resetUnderReceive(t, func(*conn) {})
	r.eventually(func() bool { return r.room.Snapshot().Ends[core.ReasonReset] == 1 }, "her session ends")
}

// TestDroppedWithResetBehindMuchInput: a connection that is dropped is closed, though its receive misses that.
func TestDroppedWithResetBehindMuchInput(t *testing.T) {
	r := resetUnderReceive(t, func(c *conn) { c.loop.drop(c, core.ReasonCut) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	over := make(chan struct{})
	go func() {
		_ = r.server.Shutdown(ctx)
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(timeout):
		t.Fatal("the server does not end")
	}
}
