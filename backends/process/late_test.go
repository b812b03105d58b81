package process

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/core"
)

// TestLateWakes: wakes that come when Shutdown has returned write to nobody's
// descriptor and are kept nowhere.
func TestLateWakes(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	s, err := start(backends.Config{
		Listen: "127.0.0.1:0", Room: room, MaxClients: 10, Backlog: 10,
		Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := s.(*server).loop
	bell := l.bell.fd
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	fresh, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	other, err := unix.FcntlInt(uintptr(fresh), unix.F_DUPFD_CLOEXEC, bell) // that number, as it is free
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fresh)
	defer unix.Close(other)
	c := &client{gone: true}
	c.session = room.Join(s.Addr(), l, c)
	l.bell.sleeping.Store(true) // as it is when the loop ends while somebody rings
	l.WakeRoom()
	l.Wake(c.session)
	var count [8]byte
	if n, err := unix.Read(fresh, count[:]); err != unix.EAGAIN {
		t.Errorf("a late wake wrote to descriptor %d: %d, %v", bell, n, err)
	}
	if len(l.mail) > 0 {
		t.Errorf("%d notes are kept that nobody reads", len(l.mail))
	}
}
