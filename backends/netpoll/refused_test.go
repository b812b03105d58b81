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

// TestPollerRefuses: a connection that the library's poller cannot watch ends, and
// Shutdown does not wait for it. Here it is a regular file, which epoll refuses.
func TestPollerRefuses(t *testing.T) {
	room := core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
	cfg := backends.Config{Listen: "127.0.0.1:0", Room: room, Counters: new(backends.Counters),
		Log: slog.New(slog.DiscardHandler), Linger: time.Second}
	accept, err := acceptor.Listen(cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{cfg: cfg, accept: accept, served: make(chan struct{})}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	accept.Run(l.take)
	server := l.adapter.Serve(accept, l.close)
	const refused = 5
	for range refused {
		file, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		l.listener.arrivals <- arrival{duplicate(t, file), netip.MustParseAddrPort("127.0.0.1:1")}
		l.adapter.ExpectJoin()
		file.Close()
	}
	ended := func() (n uint64) {
		for _, ends := range room.Snapshot().Ends {
			n += ends
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); ended() < refused; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections have ended", ended(), refused)
		}
	}
	room.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
