package downloads

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What goes past the cache is what was written, on file systems that can and on
// those that cannot.
func TestWriteThrough(t *testing.T) {
	paths := []string{t.TempDir()}
	if memory, err := os.MkdirTemp("/dev/shm", "chatbench"); err == nil {
		defer os.RemoveAll(memory)
		paths = append(paths, memory)
	}
	want := make([]byte, cachedMost+5_000_001)
	for i := range want {
		want[i] = byte(i>>16) ^ byte(i)
	}
	for _, path := range paths {
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, cached := range []bool{false, true} {
			p := begin(t, d, "bob", "a")
			p.cached = cached
			for left := want; len(left) > 0; {
				n := min(1_000_003, len(left))
				if k, err := p.Write(left[:n]); k != n || err != nil {
					t.Fatal(k, err)
				}
				left = left[n:]
			}
			name, err := p.Commit()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(path, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, cached %v: %d octets, %v", path, cached, len(got), err)
			}
		}
	}
	p := begin(t, func() *Dir { d, _ := open(t); return d }(), "bob", "a")
	p.file.Close()
	if n, err := p.writeThrough(want[:10], 0); n != 0 || err == nil {
		t.Errorf("on a closed file: %d, %v", n, err)
	}
}
