package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that was sent once is not hashed again by the sharer. The receiver hashes it,
// finds out if the remembered checksum is wrong, and tells the sharer.
func TestRememberedSum(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	bob.put("a", 3*block+5)
	known := func() (sums [][sha256.Size]byte) {
		bob.p.digests.mu.Lock()
		defer bob.p.digests.mu.Unlock()
		for _, sum := range bob.p.digests.all {
			sums = append(sums, sum)
		}
		return sums
	}
	fetch := func(want error) {
		t.Helper()
		if _, err := alice.fetch("bob", "a"); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	time.Sleep(minAge + 50*time.Millisecond)
	fetch(nil)
	bob.wantTold("sent a")
	data, err := os.ReadFile(filepath.Join(bob.shared, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if sums := known(); len(sums) != 1 || sums[0] != sha256.Sum256(data) {
		t.Fatalf("remembered %x", sums)
	}
	fetch(nil)
	alice.has("a (1)", bob, "a")
	bob.wantTold("sent a")

	bob.p.digests.mu.Lock()
	for v := range bob.p.digests.all {
		bob.p.digests.all[v] = [sha256.Size]byte{1}
	}
	bob.p.digests.mu.Unlock()
	fetch(ErrChecksum)
	bob.wantTold("sending a to alice broke off")
	if sums := known(); len(sums) != 0 {
		t.Errorf("remembered after it was found wrong: %x", sums)
	}
	fetch(nil)
	if got := alice.files(); len(got) != 3 {
		t.Errorf("saved %q", got)
	}
}

func TestDigests(t *testing.T) {
	var d digests
	now := time.Now()
	v := version{inode: 1, size: 5, mtime: now.UnixNano(), ctime: now.UnixNano(), known: true}
	d.keep(v, [sha256.Size]byte{1}, now.Add(minAge-1))
	d.keep(version{}, [sha256.Size]byte{1}, now.Add(time.Hour))
	if len(d.all) != 0 {
		t.Error("the sum of a file that may change without a trace is kept")
	}
	d.keep(v, [sha256.Size]byte{1}, now.Add(minAge))
	if sum, known := d.of(v); !known || sum[0] != 1 {
		t.Error("not kept")
	}
	for i := range maxDigests {
		v.inode = uint64(i + 2)
		d.keep(v, [sha256.Size]byte{}, now.Add(time.Hour))
	}
	if len(d.all) > maxDigests {
		t.Errorf("%d are kept", len(d.all))
	}
}

// changing is a connection that calls change after it has brought left octets.
type changing struct {
	net.Conn
	left   int
	change func()
}

func (c *changing) Read(b []byte) (int, error) {
	if c.left == 0 {
		c.change()
		c.left = 1 << 40
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// A file that changes while it is sent does not count as complete.
func TestChangedMeanwhile(t *testing.T) {
	addr := serve(t)
	alice, bob := join(t, addr, "alice", nil), join(t, addr, "bob", nil)
	path := filepath.Join(bob.shared, "big")
	if err := os.WriteFile(path, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<20); err != nil { // more than can be under way
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour) // timestamps advance by ticks, and a change in the same tick would not be seen
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	straight := alice.p.dial
	alice.p.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		conn, err := straight(ctx, to)
		return &changing{conn, headSize + 1<<20, func() {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			f.WriteString("as it is ")
			f.Close()
		}}, err
	}
	if _, err := alice.fetch("bob", "big"); !errors.Is(err, ErrTruncated) {
		t.Errorf("fetched: %v", err)
	}
	bob.wantTold("the file was changed while it was sent")
	if _, err := os.Stat(filepath.Join(alice.saved, "big")); err == nil {
		t.Error("it has its name")
	}
	alice.p.dial = straight
	if _, err := alice.fetch("bob", "big"); err != nil {
		t.Error(err)
	}
	alice.has("big", bob, "big")
}
