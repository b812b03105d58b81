package netpoll_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	lib "github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// These tests are about the library, not the transport: what the transport relies on, and
// why it accepts connections by itself. If one fails after an upgrade, the transport has
// to be reconsidered.

// TestFlushAfterItsDeadline: with a write deadline in the past Flush does not block, and
// the poller writes the rest, in order.
func TestFlushAfterItsDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := lib.DialConnection("tcp", l.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if err := conn.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789"), 2_000_000) // more than the kernel takes
	flushed := make(chan error, 1)
	go func() {
		if _, err := conn.Writer().WriteBinary(sent); err != nil {
			flushed <- err
			return
		}
		flushed <- conn.Writer().Flush()
	}()
	select {
	case err := <-flushed:
		if !errors.Is(err, lib.ErrWriteTimeout) {
			t.Fatalf("Flush: %v, want ErrWriteTimeout", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Flush blocks")
	}
	peer.SetDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatal("what the poller wrote is not what was left")
	}
}

// short is a listener that is always ready and fails with EMFILE, except for one call
// that finds no connection.
type short struct {
	fd      int
	accepts atomic.Int64
	over    atomic.Bool
}

func (s *short) Accept() (net.Conn, error) {
	if s.accepts.Add(1) == 3 || s.over.Load() {
		return nil, nil
	}
	return nil, unix.EMFILE
}

func (s *short) Fd() int        { return s.fd }
func (s *short) Addr() net.Addr { return &net.TCPAddr{} }
func (s *short) Close() error   { return unix.Close(s.fd) }

// TestSecondLackOfDescriptors: when descriptors run out the library takes its listener off
// the poller, but only once; the second time it spins. So the transport accepts
// connections by itself.
func TestSecondLackOfDescriptors(t *testing.T) {
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	l := &short{fd: fd}
	loop, err := lib.NewEventLoop(func(context.Context, lib.Connection) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		loop.Serve(l)
	}()
	const spinning = 200 // with its longest pause it would take minutes
	for deadline := time.Now().Add(time.Minute); l.accepts.Load() < spinning; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("Accept was called %d times: the library no longer spins, and may accept connections", l.accepts.Load())
			break
		}
	}
	l.over.Store(true)
	loop.Shutdown(context.Background())
	<-served
}
