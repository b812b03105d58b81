package netpoll

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/backends"
	"chatbench/backends/internal/acceptor"
	"chatbench/core"
)

// TestPollerRefuses: a connection that the library's poller cannot watch ends,
// and the server still comes to its end: nobody is waited for who never comes.
// The connection is a regular file here, which epoll does not take.
func TestPollerRefuses(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	cfg := backends.Config{Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Linger: time.Second}
	accept, err := acceptor.Listen(cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{cfg: cfg, accept: accept, served: make(chan struct{})}
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	accept.Run(h.take)
	server := h.guest.Serve(accept, h.close)
	const refused = 5
	for range refused {
		file, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		h.gate.arrivals <- arrival{duplicate(t, file), netip.MustParseAddrPort("127.0.0.1:1")}
		h.guest.Coming()
		file.Close()
	}
	ended := func() (n uint64) {
		for _, ends := range room.Snapshot().Ends {
			n += ends
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); ended() < refused; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections have ended", ended(), refused)
		}
	}
	room.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func duplicate(t *testing.T, file *os.File) int {
	t.Helper()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
