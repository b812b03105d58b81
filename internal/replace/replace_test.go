package replace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// begun makes a new file with a text.
func begun(t *testing.T, path, text string) *File {
	t.Helper()
	f, err := New(path)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// holds checks that the directory of path has exactly these files, and path this text.
func holds(t *testing.T, path, text, names string) {
	t.Helper()
	var all []string
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	if err != nil || strings.Join(all, " ") != names {
		t.Errorf("the directory has %q, %v, want %s", all, err, names)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("the file says %q, %v, want %q", got, err, text)
	}
}

// path has the old file until Commit, and then the new one.
func TestCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for was, is := range map[string]string{"": "one", "one": "two"} {
		if was != "" {
			write(t, path, was)
		}
		f := begun(t, path, is)
		if got, err := os.ReadFile(path); string(got) != was || was != "" && err != nil {
			t.Errorf("before Commit the file says %q, %v, want %q", got, err, was)
		}
		if replaced, err := f.Commit(); err != nil || !replaced {
			t.Fatalf("Commit: %v, %v", replaced, err)
		}
		f.Close()
		holds(t, path, is, "file")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v, %v", info.Mode(), err)
		}
		os.Remove(path)
	}
}

// A link stays a link, and the file that it points to is replaced.
func TestLink(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(far, "target")
	write(t, target, "old")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	f := begun(t, link, "new")
	defer f.Close()
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "new", "target")
	holds(t, link, "new", "link")
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link points to %s, %v", to, err)
	}
}

// A file that is closed without Commit leaves nothing behind, and neither does a failed Commit.
func TestNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "old")
	begun(t, path, "new").Close()
	holds(t, path, "old", "file")
	f := begun(t, path, "new")
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	if replaced, err := f.Commit(); replaced || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Commit of a file that is gone: %v, %v", replaced, err)
	}
	f.Close()
	holds(t, path, "old", "file")
	if _, err := New(filepath.Join(filepath.Dir(path), "none", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("where there is no directory: %v", err)
	}
}

// New removes what killed processes have left behind, and no other file.
func TestLeftovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, name := range []string{".file.swp", ".file.", "file.1", ".other.1", ".file.123456", ".file.7"} {
		write(t, filepath.Join(filepath.Dir(path), name), "")
	}
	f := begun(t, path, "new")
	defer f.Close()
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "new", ".file. .file.swp .other.1 file file.1")
}
