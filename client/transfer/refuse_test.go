package transfer

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// Requests for names that lead out of the directory, or to something that is not a
// regular file, are refused, and nothing is opened. Our own client would not send them.
func TestRefusedNames(t *testing.T) {
	addr := serve(t)
	bob, m := join(t, addr, "bob", nil), intrude(t, addr, "mallory")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bob.put("a.txt", 10)
	must(os.WriteFile(filepath.Join(filepath.Dir(bob.shared), "secret"), []byte("secret"), 0o600))
	must(os.WriteFile(filepath.Join(bob.shared, ".hidden"), []byte("hidden"), 0o600))
	must(os.Mkdir(filepath.Join(bob.shared, "dir"), 0o700))
	must(os.Symlink("../secret", filepath.Join(bob.shared, "out")))
	must(os.Symlink("/etc/passwd", filepath.Join(bob.shared, "absolute")))
	must(os.Symlink("/dev/zero", filepath.Join(bob.shared, "zero")))
	must(unix.Mkfifo(filepath.Join(bob.shared, "pipe"), 0o600))
	names := []string{
		"../secret", "..", ".", "/etc/passwd", "a.txt/", "./a.txt", "dir/../a.txt", "dir", "dir/", "/", "//a.txt",
		".hidden", "out", "absolute", "zero", "pipe", "pipe/", "..\\secret", "%2e%2e/secret", "a.txt ", " a.txt", strings.Repeat("../", 50) + "etc/passwd",
	}
	for _, name := range names {
		must(m.c.File(wire.DnReq, "bob", name))
	}
	for range 20_000 { // opening the pipe would block all answers
		if m.nacks.Load()+m.acks.Load() == int64(len(names)) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if acks, nacks := m.acks.Load(), m.nacks.Load(); acks != 0 || nacks != int64(len(names)) {
		t.Errorf("%d names: %d offered, %d refused", len(names), acks, nacks)
	}
	bob.p.slots.mu.Lock()
	defer bob.p.slots.mu.Unlock()
	if bob.p.slots.all != 0 {
		t.Errorf("%d slots are taken by what was refused", bob.p.slots.all)
	}
}

// The error for an address that is valid only on another network differs from that for
// a firewall.
func TestUnreachable(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1": "-share-address", "10.1.2.3": "own machine or network", "fe80::1": "own machine or network",
		"203.0.113.7": "-share-ports", "2001:db8::1": "-share-ports",
	} {
		if got := unreachable(netip.MustParseAddr(addr)); !strings.Contains(got, want) || !strings.Contains(got, "not through the server") {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
