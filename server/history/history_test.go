package history

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// some makes the lines n to m-1.
func some(n, m int) (lines []core.Line) {
	for ; n < m; n++ {
		lines = append(lines, core.Line{At: noon.Add(time.Duration(n) * time.Second), Text: fmt.Appendf(nil, "민수: line %d \xff", n)})
	}
	return lines
}

func open(t *testing.T, path string, keep int) (*File, Found) {
	t.Helper()
	f, found, err := Open(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, found
}

func add(t *testing.T, f *File, lines []core.Line) {
	t.Helper()
	if err := f.Append(lines); err != nil {
		t.Fatal(err)
	}
}

// The last lines are read as they were written, even if fewer are kept than before.
func TestLinesComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, found := open(t, path, 10)
	if !reflect.DeepEqual(found, Found{}) {
		t.Errorf("a new file holds %+v", found)
	}
	add(t, f, some(0, 3))
	add(t, f, some(3, 25))
	f.Close()
	for _, keep := range []int{1, 5, 10, 24, 25, 26, 100} {
		f, found := open(t, path, keep)
		if want := (Found{Lines: some(max(0, 25-keep), 25)}); !reflect.DeepEqual(found, want) {
			t.Errorf("%d kept: found %+v", keep, found)
		}
		if f.Long() != (25 > Slack*keep) {
			t.Errorf("%d kept of 25: long is %v", keep, f.Long())
		}
		f.Close()
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read what was said: %v, %v", info.Mode(), err)
	}
}

// Wherever the file is cut, the complete lines are read, the rest is cut off, and lines can be
// appended.
func TestTornAnywhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history")
	f, _ := open(t, path, 10)
	add(t, f, some(0, 3))
	f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := max(bytes.Count(whole[:n], []byte("\n"))-1, 0)
		f, found := open(t, path, 10)
		if len(found.Lines) != lines || found.Damaged != 0 {
			t.Fatalf("%d octets: found %+v, want %d lines", n, found, lines)
		}
		if torn := n - 1 - bytes.LastIndexByte(whole[:n], '\n'); n >= len(head) && found.Torn != int64(torn) {
			t.Errorf("%d octets: %d cut off, want %d", n, found.Torn, torn)
		}
		add(t, f, some(5, 6))
		f.Close()
		f, found = open(t, path, 10)
		if want := append(some(0, lines), some(5, 6)...); !reflect.DeepEqual(found, Found{Lines: want}) {
			t.Errorf("%d octets, and one line more: found %+v", n, found)
		}
		f.Close()
	}
}

// A damaged line is ignored, and those after it are not.
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, _ := open(t, path, 10)
	add(t, f, some(0, 4))
	f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.Index(whole, []byte("line 1"))
	whole[second] ^= 1
	long := append(bytes.Repeat([]byte("x"), 2*maxLine), '\n')
	whole = append(whole[:len(head):len(head)], append(long, whole[len(head):]...)...)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	f, found := open(t, path, 10)
	if want := append(some(0, 1), some(2, 4)...); !reflect.DeepEqual(found, Found{Lines: want, Damaged: 2}) {
		t.Errorf("found %+v", found)
	}
	if _, err := f.Rewrite(found.Lines); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, found := open(t, path, 10); found.Damaged != 0 || len(found.Lines) != 3 {
		t.Errorf("after it was rewritten: %+v", found)
	}
}

// A long file is rewritten with the last lines, and no other file is left behind.
func TestRewrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history")
	f, _ := open(t, path, 2)
	add(t, f, some(0, 2*Slack))
	if f.Long() {
		t.Error("too long too early")
	}
	add(t, f, some(2*Slack, 2*Slack+1))
	if !f.Long() {
		t.Error("not too long")
	}
	if replaced, err := f.Rewrite(some(15, 17)); err != nil || !replaced || f.Long() {
		t.Fatalf("rewritten: %v, %v, long: %v", replaced, err, f.Long())
	}
	if _, _, err := Open(path, 2); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("another opens it meanwhile: %v", err)
	}
	add(t, f, some(17, 18))
	f.Close()
	if _, found := open(t, path, 10); !reflect.DeepEqual(found.Lines, some(15, 18)) {
		t.Errorf("found %+v", found)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

// A link to the file stays a link when the file is rewritten. A new file that a killed server has
// left behind is removed, but not by a server that does not get the lock.
func TestRewriteThroughLink(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	link, target, leftover := filepath.Join(dir, "history"), filepath.Join(far, "target"), filepath.Join(far, ".target.123")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	leave := func() {
		t.Helper()
		if err := os.WriteFile(leftover, []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	f, _ := open(t, link, 2)
	if _, err := os.Stat(leftover); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is there: %v", err)
	}
	leave()
	if _, _, err := Open(target, 2); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("another opens it: %v", err)
	}
	if _, err := os.Stat(leftover); err != nil {
		t.Errorf("it has removed a file that may belong to the server with the lock: %v", err)
	}
	add(t, f, some(0, 3))
	if _, err := f.Rewrite(some(1, 3)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link points to %s, %v", to, err)
	}
	if _, found := open(t, target, 2); !reflect.DeepEqual(found.Lines, some(1, 3)) {
		t.Errorf("found %+v", found)
	}
	if files, _ := os.ReadDir(far); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

// A server that has opened the file just before it was rewritten does not use the old one, which is
// no longer locked.
func TestOpenedBeforeRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, _ := open(t, path, 2)
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := f.Rewrite(some(0, 1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (&File{path: path, file: old}).lock(); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("the old file: %v", err)
	}
}

// If the sync of the directory fails the new file is still used.
func TestRewrittenNotSynced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, _ := open(t, path, 2)
	add(t, f, some(0, 3))
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	// One descriptor for the new file, and none for the directory.
	free, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	one := unix.Rlimit{Cur: uint64(free.Fd()) + 1, Max: before.Max}
	free.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &one); err != nil {
		t.Fatal(err)
	}
	replaced, failed := f.Rewrite(some(1, 3))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !replaced || !errors.Is(failed, unix.EMFILE) {
		t.Fatalf("replaced: %v, %v", replaced, failed)
	}
	add(t, f, some(3, 4))
	f.Close()
	if _, found := open(t, path, 10); !reflect.DeepEqual(found.Lines, some(1, 4)) {
		t.Errorf("found %+v", found)
	}
}

// A file that is not a history is not changed.
func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users.txt")
	text := []byte("alice:$2a$10$6JUXRmpa1CYi2qUDRTGBLup4JpU5E4jV\n")
	if err := os.WriteFile(users, text, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		users: "another kind", fifo: "not a regular file", dir: "is a directory", filepath.Join(dir, "none", "x"): "no such file",
	} {
		if _, _, err := Open(path, 10); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if got, _ := os.ReadFile(users); !bytes.Equal(got, text) {
		t.Errorf("the users file is now %q", got)
	}
}

// If the disk is full only the lines that do not fit are not written, and they can be appended
// again.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	f, _ := open(t, path, 10)
	add(t, f, some(0, 2))
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	// Beyond the limit the kernel writes what fits, and then fails with EFBIG. (The
	// signal that comes with it does nothing in a Go program.)
	full := unix.Rlimit{Cur: uint64(f.size) + 10, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	failed := f.Append(some(2, 4))
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(failed, unix.EFBIG) {
		t.Fatalf("no room for a line: %v", failed)
	}
	if info, _ := os.Stat(path); info.Size() != f.size {
		t.Errorf("%d octets, %d of them whole lines", info.Size(), f.size)
	}
	add(t, f, some(2, 4))
	f.Close()
	if _, found := open(t, path, 10); !reflect.DeepEqual(found, Found{Lines: some(0, 4)}) {
		t.Errorf("found %+v", found)
	}
}

// Whatever a file contains, what is read from it can be written, and is read again unchanged.
func FuzzRead(f *testing.F) {
	var good []byte
	for _, line := range some(0, 3) {
		good = appendLine(good, line)
	}
	f.Add(good, 2)
	f.Add(good[:len(good)-3], 1)
	f.Add(append([]byte("x\n"), good...), 3)
	f.Add([]byte("00000000 0 \n\n\n"), 5)
	f.Fuzz(func(t *testing.T, text []byte, keep int) {
		keep = 1 + int(uint(keep)%5)
		last, damaged, size, lines, err := read(bytes.NewReader(text), keep)
		switch {
		case err != nil:
			t.Fatal(err)
		case size > int64(len(text)), len(last) > keep, lines < len(last)+damaged, lines > bytes.Count(text[:size], []byte("\n")):
			t.Fatalf("%d lines, %d last, %d damaged, in %d of %d octets", lines, len(last), damaged, size, len(text))
		}
		var again []byte
		for _, line := range last {
			again = appendLine(again, line)
		}
		same, damaged, size, lines, err := read(bytes.NewReader(again), keep)
		if err != nil || damaged != 0 || size != int64(len(again)) || lines != len(last) || !reflect.DeepEqual(same, last) {
			t.Fatalf("read %q, and then %q", last, same)
		}
	})
}
