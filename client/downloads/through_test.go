package downloads

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is written past the page cache is read back unchanged, on file systems that
// support it and on those that do not.
func TestWriteThrough(t *testing.T) {
	paths := []string{t.TempDir()}
	if memory, err := os.MkdirTemp("/dev/shm", "chatbench"); err == nil {
		defer os.RemoveAll(memory)
		paths = append(paths, memory)
	}
	want := make([]byte, maxCached+5_000_001)
	for i := range want {
		want[i] = byte(i>>16) ^ byte(i)
	}
	for _, path := range paths {
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, bufferedOnly := range []bool{false, true} {
			p := begin(t, d, "bob", "a")
			p.bufferedOnly = bufferedOnly
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
				t.Errorf("%s, cached %v: %d octets, %v", path, bufferedOnly, len(got), err)
			}
		}
	}
	p := begin(t, func() *Dir { d, _ := open(t); return d }(), "bob", "a")
	p.file.Close()
	if n, err := p.writeThrough(want[:10], 0); n != 0 || err == nil {
		t.Errorf("on a closed file: %d, %v", n, err)
	}
}
