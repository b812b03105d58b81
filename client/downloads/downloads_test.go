package downloads

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) (d *Dir, path string) {
	t.Helper()
	path = t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func begin(t *testing.T, d *Dir, user, name string) *Part {
	t.Helper()
	p, err := d.Begin(user, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func files(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSave(t *testing.T) {
	d, path := open(t)
	p := begin(t, d, "bob", "한 글.txt")
	io.WriteString(p, "hello ")
	io.WriteString(p, "world")
	if got := files(t, path); len(got) != 1 || !strings.HasPrefix(got[0], "한 글.txt.") || !strings.HasSuffix(got[0], ".part") {
		t.Errorf("while it comes: %q", got)
	}
	name, err := p.Commit()
	if err != nil || name != "한 글.txt" {
		t.Errorf("Commit() = %q, %v", name, err)
	}
	got, err := os.ReadFile(filepath.Join(path, name))
	if err != nil || string(got) != "hello world" || len(files(t, path)) != 1 {
		t.Errorf("saved %q, %v in %q", got, err, files(t, path))
	}
}

// What exists is not overwritten: no file, link or directory.
func TestNothingIsOverwritten(t *testing.T) {
	d, path := open(t)
	os.WriteFile(filepath.Join(path, "a.txt"), []byte("mine"), 0o600)
	os.Symlink("/nowhere/at all", filepath.Join(path, "a (1).txt"))
	os.Mkdir(filepath.Join(path, "a (2).txt"), 0o700)
	for _, want := range []string{"a (3).txt", "a (4).txt"} {
		p := begin(t, d, "bob", "a.txt")
		io.WriteString(p, "theirs")
		if name, err := p.Commit(); err != nil || name != want {
			t.Errorf("Commit() = %q, %v, want %q", name, err, want)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(path, "a.txt")); string(got) != "mine" {
		t.Errorf("a.txt holds %q now", got)
	}
	if to, _ := os.Readlink(filepath.Join(path, "a (1).txt")); to != "/nowhere/at all" {
		t.Errorf("the link leads to %q", to)
	}
}

func TestNames(t *testing.T) {
	d, path := open(t)
	for _, name := range []string{"", ".", "..", ".bashrc", "a/b", "../a", "/etc/passwd", "a/", "a\x00", strings.Repeat("x", 256)} {
		if _, err := d.Begin("bob", name); !errors.Is(err, ErrName) {
			t.Errorf("Begin(%.20q): %v", name, err)
		}
	}
	if got := files(t, path); len(got) > 0 {
		t.Errorf("refused names left %q", got)
	}
	longest := strings.Repeat("한", 83) + ".txt" // 253 octets
	for i := range 2 {
		p := begin(t, d, "bob", longest)
		name, err := p.Commit()
		if err != nil || len(name) > 255 || !utf8.ValidString(name) || !strings.HasSuffix(name, ".txt") {
			t.Errorf("longest name, time %d: %q, %v", i, name, err)
		}
	}
	for _, c := range []struct{ name, want string }{
		{"a.tar.gz", "a.tar (1).gz"}, {"a", "a (1)"}, {"Mr. Smith goes to town", "Mr. Smith goes to town (1)"}, {"a.", "a (1)."},
	} {
		if got := numbered(c.name, 1); got != c.want {
			t.Errorf("numbered(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParts(t *testing.T) {
	d, path := open(t)
	p := begin(t, d, "bob", "a.txt")
	if _, err := d.Begin("bob", "a.txt"); !errors.Is(err, ErrBusy) {
		t.Errorf("a part was begun twice: %v", err)
	}
	other := begin(t, d, "alice", "a.txt") // another user's file of that name
	io.WriteString(p, "half")
	p.Close()
	other.Close() // it is empty, and so not kept
	if got := files(t, path); len(got) != 1 {
		t.Errorf("kept %q", got)
	}
	p = begin(t, d, "bob", "a.txt")
	was, err := io.ReadAll(p.Reader())
	if err != nil || string(was) != "half" || p.Size() != 4 {
		t.Errorf("a later try finds %q, %v", was, err)
	}
	io.WriteString(p, " and half")
	if was, _ = io.ReadAll(p.Reader()); string(was) != "half and half" {
		t.Errorf("appended: %q", was)
	}
	if err := p.Restart(); err != nil || p.Size() != 0 {
		t.Error(err, p.Size())
	}
	io.WriteString(p, "new")
	p.Discard()
	if got := files(t, path); len(got) != 0 {
		t.Errorf("discarded, but %q is there", got)
	}
}

// Something else with the name of the part is not followed, and does not block.
func TestPartInTheWay(t *testing.T) {
	d, path := open(t)
	secret := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(secret, []byte("secret"), 0o600)
	part := filepath.Join(path, partName("bob", "a"))
	for name, plant := range map[string]func() error{
		"link":   func() error { return os.Symlink(secret, part) },
		"pipe":   func() error { return unix.Mkfifo(part, 0o600) },
		"folder": func() error { return os.Mkdir(part, 0o700) },
	} {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Begin("bob", "a"); err == nil {
			t.Errorf("%s: Begin accepts it", name)
		}
		os.Remove(part)
	}
	if got, _ := os.ReadFile(secret); string(got) != "secret" {
		t.Errorf("the link was followed: %q", got)
	}
}

// Every errno of a full disk becomes ErrFull.
func TestFull(t *testing.T) {
	d, path := open(t)
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		p := Part{dir: d, want: "a"}
		err := p.failed(&os.PathError{Op: "write", Err: e})
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v", e, err)
		}
	}
	if err := (&Part{dir: d, want: "a"}).failed(unix.EIO); errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// Many commits at once get different names.
func TestCommitTogether(t *testing.T) {
	d, path := open(t)
	names := make(chan string)
	for i := range 20 {
		go func() {
			name := ""
			if p, err := d.Begin(fmt.Sprint("user", i), "a"); err == nil {
				name, _ = p.Commit()
			}
			names <- name
		}()
	}
	var got []string
	for range 20 {
		got = append(got, <-names)
	}
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != 20 || got[0] == "" || len(files(t, path)) != 20 {
		t.Errorf("20 files became %q", got)
	}
}
