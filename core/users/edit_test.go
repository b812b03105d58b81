package users

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestEdit(t *testing.T) {
	path := write(t, "# staff\nalice:"+hash+"\n\nbob:"+hash+"\n")
	if err := Add(path, "carol", "pw"); err != nil {
		t.Fatal(err)
	}
	if err := Add(path, "CAROL", "pw"); !errors.Is(err, ErrExists) {
		t.Errorf("adding who exists: %v", err)
	}
	if err := SetPassword(path, "Alice", "new"); err != nil {
		t.Fatal(err)
	}
	if err := Delete(path, "bob"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{Delete(path, "bob"), SetPassword(path, "bob", "pw"), Delete(path, "no name")} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("who does not exist: %v", err)
		}
	}
	for _, name := range []string{"server", "#dave", "a:b", ""} {
		if err := Add(path, name, "pw"); err == nil || !strings.Contains(err.Error(), "bad name") {
			t.Errorf("adding %q: %v", name, err)
		}
	}
	u := load(t, path)
	if got, want := u.Names(), []string{"alice", "carol"}; !slices.Equal(got, want) {
		t.Errorf("users %q, want %q", got, want)
	}
	if !u.Verify("alice", "new") || u.Verify("alice", "secret") || !u.Verify("carol", "pw") {
		t.Error("passwords are not what they were set to")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data); !strings.HasPrefix(text, "# staff\nalice:$2") || !strings.Contains(text, "\n\ncarol:$2") || !strings.HasSuffix(text, "\n") {
		t.Errorf("comments and empty lines are not kept:\n%s", text)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// The file is replaced, never written into: who has it open goes on reading
// the old one, and nothing is left beside it.
func TestAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.txt")
	if err := Add(path, "alice", "pw"); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, path); got != 0o600 {
		t.Errorf("a new file has mode %v, want 0600", got)
	}
	before, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Add(link, "bob", "pw"); err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 4096)
	if n, _ := before.Read(seen); string(seen[:n]) != string(old) {
		t.Error("the old file was written into")
	}
	if got := mode(t, path); got != 0o640 {
		t.Errorf("mode %v, want it kept at 0640", got)
	}
	if mode(t, link)&os.ModeSymlink == 0 {
		t.Error("the link was replaced instead of the file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// A write that fails leaves the old file and nothing else. The disk's part is
// played by a directory in which nothing can be made.
func TestFailedWrite(t *testing.T) {
	path := write(t, "alice:"+hash+"\n")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gone := filepath.Join(filepath.Dir(path), "gone", "users.txt")
	if err := replace(gone, f, []byte("x")); err == nil || !strings.Contains(err.Error(), "is unchanged") {
		t.Errorf("replace where nothing can be made: %v", err)
	}
	if u := load(t, path); u.Len() != 1 {
		t.Error("the old file is gone")
	}
}

// Parallel changes, as of several administrators, all take effect.
func TestParallelAdds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.txt")
	const n = 8
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := Add(path, fmt.Sprint("user", i), "pw"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if u := load(t, path); u.Len() != n {
		t.Errorf("%d users after %d adds: %q", u.Len(), n, u.Names())
	}
}
