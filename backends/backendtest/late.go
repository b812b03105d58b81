package backendtest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
	"chatbench/core/wire"
)

// LateWakes is for a transport's own tests. It serves a client, shuts the server down,
// and then calls the Waker, as the room still may. The transport must not write to a
// descriptor that it has closed, since somebody else may have the number by now, and
// must not keep wakes that nobody reads.
//
// inside returns the Waker, a tag as the transport gives it to Room.Join, and a function
// that counts the wakes that are kept.
func LateWakes(t *testing.T, b backends.Backend, inside func(backends.Server) (w core.Waker, tag any, noted func() int)) {
	t.Helper()
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	s, err := b.Start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
		MaxClients: 10, Backlog: 10, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	granted := wire.AppendGranted(nil)
	if _, err := c.Write(wire.AppendCred(nil, "alice", "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, granted); err != nil {
		t.Fatal(err)
	}
	c.Close()
	w, tag, noted := inside(s)
	room.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	session := room.Join(s.Addr(), w, tag)
	Untouched(t, func() {
		for range 3 {
			w.WakeRoom()
			w.Wake(session)
		}
	})
	if n := noted(); n > 0 {
		t.Errorf("%d wakes are kept after Shutdown, though nobody reads them", n)
	}
}

// Untouched fails the test if act writes to a descriptor that it does not own: it opens
// many, which get the numbers of descriptors closed before.
func Untouched(t *testing.T, act func()) {
	t.Helper()
	var fds []int
	for range 64 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, pair[0], pair[1])
	}
	act()
	for _, fd := range fds {
		var in [8]byte
		if n, err := unix.Read(fd, in[:]); err != unix.EAGAIN {
			t.Errorf("%d octets were written to descriptor %d, which belongs to somebody else: %v", n, fd, err)
		}
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
