package bench

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"chatbench/bench/machine"
	"chatbench/bench/record"
	"chatbench/bench/server"
	"chatbench/loadgen"
)

// TestIdentity: only the owner can read the key, and nothing of it remains.
func TestIdentity(t *testing.T) {
	i, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(i.key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if want := []string{"-tls-cert", i.cert, "-tls-key", i.key}; !slices.Equal(i.arguments(), want) {
		t.Errorf("chatd %v", i.arguments())
	}
	i.remove()
	if _, err := os.Stat(i.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", i.dir, err)
	}
	t.Setenv("TMPDIR", i.dir)
	if _, err := newIdentity(); err == nil {
		t.Error("a certificate is made in no directory")
	}
}

// TestTurnsByTLS: two TLS servers take turns as in a round, with the certificate of
// a run. Everything that is sent in a slice arrives in it, and freezing between slices, with
// idle TLS connections, ends none of them.
func TestTurnsByTLS(t *testing.T) {
	path := buildChatd(t)
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	defer id.remove()
	cpus, err := machine.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	stage, err := loadgen.NewStage(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	var servers []*server.Process
	var fleets []*loadgen.Fleet
	for _, backend := range []string{"epoll", "goroutine"} {
		l, err := server.NewLauncher(cpus[:1])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p, err := l.Start(t.Context(), false, path, append(chatdArguments(record.Arm{Backend: backend}), id.arguments()...)...)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Kill()
		f, err := stage.Join(loadgen.Config{
			Server: p.Addr, TLS: id.trust, Clients: 50, Senders: 10, Rate: 500, Seed: 1,
			Warmup: 10 * time.Millisecond, Duration: 40 * time.Millisecond, Drain: 20 * time.Second,
		})
		if err := errors.Join(err, p.Freeze()); err != nil {
			t.Fatal(err)
		}
		servers, fleets = append(servers, p), append(fleets, f)
	}
	for turn := range 6 {
		p, f := servers[turn%2], fleets[turn%2]
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		r, edges, err := f.Slice()
		if err := errors.Join(err, p.Freeze()); err != nil {
			t.Fatal(err)
		}
		if !r.Ledger.Clean() || edges.Missing != 0 || edges.Deliveries != 20*50 || r.TLS == nil || r.TLS.Version != "TLS 1.3" {
			t.Errorf("turn %d: %+v, %+v, TLS %+v", turn, r.Ledger, edges, r.TLS)
		}
	}
	for i, p := range servers {
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		fleets[i].Leave()
		counted, err := p.Stop()
		if err != nil {
			t.Fatal(err)
		}
		for reason, n := range counted.Ends {
			if n > 0 && reason != "bye" && reason != "drain" { // who was still there when it went down
				t.Errorf("%d connections ended for %q", n, reason)
			}
		}
	}
}
