package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatbench/client"
)

const (
	composed   = "\ud55c\uae00 \ud30c\uc77c.txt" // 한글 파일.txt
	decomposed = "\u1112\u1161\u11ab\u1100\u1173\u11af \u1111\u1161\u110b\u1175\u11af.txt"
)

func TestFetch(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "Bob", nil)
	sizes := map[string]int64{"empty": 0, "one": 1, "a b 1 2.txt": block, decomposed: block + 1, "big.bin": 50 << 20}
	for name, size := range sizes {
		bob.put(name, size)
	}
	names, err := alice.p.List(t.Context(), alice.c, "BOB")
	if err != nil || len(names) != len(sizes) || !slices.Contains(names, decomposed) {
		t.Errorf("List() = %q, %v", names, err)
	}
	for name, size := range sizes {
		asked := name
		if name == decomposed {
			asked = composed
		}
		s, err := alice.fetch("bob", asked)
		if err != nil || s.Name != asked || s.Size != size || !s.Checked || s.Path != filepath.Join(alice.saved, asked) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		alice.has(asked, bob, name)
		bob.wantTold("sent " + asked + " to alice")
	}
	if got := alice.files(); len(got) != len(sizes) {
		t.Errorf("saved %q", got)
	}
	// A second download, from oneself, overwrites nothing.
	if s, err := bob.fetch("bob", "one"); err != nil || s.Name != "one" {
		t.Error(s, err)
	}
	if s, err := bob.fetch("bob", "one"); err != nil || s.Name != "one (1)" {
		t.Error(s, err)
	}
}

func TestAnswers(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", func(o *Options) { o.Share = nil })
	for file, want := range map[string]error{"nothing.txt": ErrNotFound, "a b.txt": ErrNotFound} {
		if _, err := alice.fetch("bob", file); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
	}
	if _, err := alice.fetch("nouser", "x"); !errors.Is(err, ErrNoUser) {
		t.Error(err)
	}
	if _, err := alice.p.List(t.Context(), alice.c, "nouser"); !errors.Is(err, ErrNoUser) {
		t.Error(err)
	}
	if names, err := alice.p.List(t.Context(), alice.c, "bob"); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
	for _, name := range []string{"../x", ".bashrc", "/etc/passwd", "a/b", ""} {
		if _, err := alice.fetch("bob", name); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q was asked for: %v", name, err)
		}
	}
	if _, err := alice.p.List(t.Context(), alice.c, "two words"); !errors.Is(err, client.ErrFrame) {
		t.Error(err)
	}
	if got := alice.files(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
	bob.c.Close()
	alice.c.Close()
	if _, err := alice.p.List(t.Context(), alice.c, "bob"); !errors.Is(err, client.ErrGone) {
		t.Errorf("without a server: %v", err)
	}
}

// More downloads at once than one sharer sends at a time: all come.
func TestTogether(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	var all sync.WaitGroup
	for i := range 12 {
		name := string(rune('a' + i))
		bob.put(name, 300_000)
		all.Go(func() {
			if _, err := alice.fetch("bob", name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if got := alice.files(); len(got) != 12 {
		t.Errorf("saved %q", got)
	}
}

func TestLegacy(t *testing.T) {
	addr := serve(t)
	legacy := func(o *Options) { o.Legacy = true }
	alice, bob, carol := join(t, addr, "alice", legacy), join(t, addr, "bob", legacy), join(t, addr, "carol", nil)
	bob.put("a", 3*block+5)
	carol.put("b", 10)
	if s, err := alice.fetch("bob", "a"); err != nil || s.Checked || s.Size != 3*block+5 {
		t.Error(s, err)
	}
	alice.has("a", bob, "a")
	// A client that uses tokens answers a legacy client, and refuses one as a sharer.
	if s, err := alice.fetch("carol", "b"); err != nil || !s.Checked {
		t.Error(s, err)
	}
	if _, err := carol.fetch("bob", "a"); !errors.Is(err, ErrNoToken) || !strings.Contains(err.Error(), "-p2p legacy") {
		t.Error(err)
	}
	if got := carol.files(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

// stopping is a connection that brings left octets, and then blocks until it is closed.
type stopping struct {
	net.Conn
	left   int
	halted chan<- struct{}
	closed chan struct{}
	once   sync.Once
}

func (c *stopping) Read(b []byte) (int, error) {
	if c.left == 0 {
		close(c.halted)
		<-c.closed
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func (c *stopping) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A cancelled download is resumed where it stopped, if the file is unchanged.
func TestCancelAndResume(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	const size, half = 16 << 20, 8 << 20
	straight := alice.p.dial
	for _, changed := range []bool{false, true} {
		bob.put("big", size)
		halted := make(chan struct{})
		alice.p.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			conn, err := straight(ctx, to)
			return &stopping{Conn: conn, left: headSize + half, halted: halted, closed: make(chan struct{})}, err
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-halted; cancel() }()
		progress := new(Progress)
		if _, err := alice.p.Fetch(ctx, alice.c, "bob", "big", progress); !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		bob.wantTold("sending big to alice broke off")
		came, total, _, _ := progress.Snapshot()
		if got := alice.files(); len(got) != 1 || !strings.HasSuffix(got[0], ".part") || total != size || came != half {
			t.Fatalf("after cancelling %q, %d of %d octets", got, came, total)
		}
		want := came
		if changed {
			f, err := os.OpenFile(filepath.Join(bob.shared, "big"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt([]byte("changed"), 1000)
			f.Close()
			want = 0
		}
		alice.p.dial, progress = straight, new(Progress)
		s, err := alice.p.Fetch(t.Context(), alice.c, "bob", "big", progress)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, from, _ := progress.Snapshot(); from != want {
			t.Errorf("changed %v: went on after %d octets, want %d", changed, from, want)
		}
		alice.has(s.Name, bob, "big")
		os.Remove(s.Path)
	}
}

// A download goes on when the connections to the server end.
func TestServerGoes(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	bob.put("big", 64<<20)
	progress, result := new(Progress), make(chan error, 1)
	go func() {
		_, err := alice.p.Fetch(t.Context(), alice.c, "bob", "big", progress)
		result <- err
	}()
	for at := (time.Time{}); at.IsZero(); _, _, _, at = progress.Snapshot() {
		time.Sleep(50 * time.Microsecond)
	}
	alice.c.Close()
	bob.c.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
	alice.has("big", bob, "big")
}
