package share

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	composed   = "\ud55c\uae00 \ud30c\uc77c.txt" // 한글 파일.txt
	decomposed = "\u1112\u1161\u11ab\u1100\u1173\u11af \u1111\u1161\u110b\u1175\u11af.txt"
)

// testDirectory makes a directory with files to share and everything that must not be
// shared.
func testDirectory(t *testing.T) (d *Dir, path string) {
	t.Helper()
	outside := t.TempDir()
	path = filepath.Join(outside, "shared")
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(path, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(path, "dir"), 0o700))
	for _, name := range []string{"a.txt", "a b  c.txt", decomposed, "-rf", "a\nb", `a\b`, ".hidden", "dir/inner", "../secret", "x.part"} {
		write(name)
	}
	must(os.Symlink("../secret", filepath.Join(path, "out")))
	must(os.Symlink("a.txt", filepath.Join(path, "in")))
	must(os.Symlink("/etc/passwd", filepath.Join(path, "absolute")))
	must(unix.Mkfifo(filepath.Join(path, "pipe"), 0o600))
	l, err := net.Listen("unix", filepath.Join(path, "socket"))
	must(err)
	t.Cleanup(func() { l.Close() })
	if os.Geteuid() == 0 {
		must(unix.Mknod(filepath.Join(path, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
	}
	d, err = Open(path)
	must(err)
	t.Cleanup(func() { d.Close() })
	return d, path
}

func TestList(t *testing.T) {
	d, _ := testDirectory(t)
	want := []string{"a.txt", "a b  c.txt", decomposed, "-rf", "a\nb", `a\b`}
	slices.Sort(want)
	got, left, err := d.List()
	if err != nil || left != 0 || !slices.Equal(got, want) {
		t.Errorf("List() = %q, %d, %v; want %q", got, left, err, want)
	}
}

func TestOpen(t *testing.T) {
	d, path := testDirectory(t)
	for name, content := range map[string]string{
		"a.txt": "a.txt", "a b  c.txt": "a b  c.txt", composed: decomposed, decomposed: decomposed, `a\b`: `a\b`, "-rf": "-rf",
	} {
		f, info, err := d.Open(name)
		if err != nil {
			t.Errorf("Open(%q): %v", name, err)
			continue
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != content || info.Size() != int64(len(content)) {
			t.Errorf("Open(%q) has %q, %v", name, got, err)
		}
		f.Close()
	}
	// An exact name goes before one that is only equal in NFC.
	if err := os.WriteFile(filepath.Join(path, composed), []byte("exact"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _, err := d.Open(composed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, _ := io.ReadAll(f); string(got) != "exact" {
		t.Errorf("the composed name opens %q", got)
	}
}

// Open opens nothing but regular files of the directory, and never blocks, as it would
// on a pipe without a writer.
func TestOpenRefuses(t *testing.T) {
	d, path := testDirectory(t)
	for _, name := range []string{
		"", ".", "..", "/", "a.txt/", "./a.txt", "../secret", "../shared/a.txt", "dir/../a.txt", "dir/inner", "dir",
		"/etc/passwd", path + "/a.txt", "..\\secret", "%2e%2e/secret", "....//secret", "a.txt\x00", "\x00", ".hidden",
		"out", "in", "absolute", "pipe", "socket", "device", "x.part", "nothing", "A.TXT", strings.Repeat("x", 256), strings.Repeat("../", 100),
	} {
		if f, _, err := d.Open(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q) = %v, %v", name, f, err)
		}
	}
	// The directory stays the opened one, even if another takes its path.
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Open("passwd"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open followed a directory's name: %v", err)
	}
	if f, _, err := d.Open("a.txt"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
}

func TestLongList(t *testing.T) {
	path := t.TempDir()
	for i := range MaxListed + 5 {
		if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("%04d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, left, err := d.List()
	if err != nil || len(names) != MaxListed || left != 5 || names[0] != "0000" {
		t.Errorf("%d names and %d left, %v", len(names), left, err)
	}
	long := strings.Repeat("x", 250)
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("%s%04d", long, i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names, left, _ = d.List()
	octets := 0
	for _, name := range names {
		octets += len(name)
	}
	if octets > maxListOctets || len(names)+left != MaxListed+305 {
		t.Errorf("%d octets of names, %d and %d left", octets, len(names), left)
	}
	if _, err := Open(filepath.Join(path, "0000")); err == nil {
		t.Error("a file was opened as a directory to share")
	}
}
