package all_test

import (
	"log/slog"
	"testing"
	"time"

	"chatbench/backends"
	"chatbench/backends/all"
	"chatbench/backends/internal/socket"
	"chatbench/core"
)

// TestCannotListen: all transports of this module return the same error if they cannot listen.
func TestCannotListen(t *testing.T) {
	cfg := backends.Config{Counters: new(backends.Counters), Log: slog.New(slog.DiscardHandler), MaxClients: 10, Backlog: 10, Linger: time.Second}
	cfg.Listen = "127.0.0.1:0"
	taken, err := socket.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, addr := range []string{taken.Addr().String(), "192.0.2.1:0", "127.0.0.1", "127.0.0.1:99999"} {
		cfg.Listen = addr
		_, want := socket.Listen(cfg)
		for _, b := range all.All() {
			cfg.Room = core.NewRoom(core.Config{Authenticator: core.OpenDoor{}, Now: time.Now()})
			server, err := b.Start(cfg) // even if it cannot run on this machine, which it checks later
			if err == nil {
				t.Errorf("%s listens on %s, where nobody can", b.Name, addr)
				_ = server.Shutdown(t.Context())
			} else if err.Error() != want.Error() {
				t.Errorf("%s, listening on %s, says\n\t%v\nin place of\n\t%v", b.Name, addr, err, want)
			}
		}
	}
}
