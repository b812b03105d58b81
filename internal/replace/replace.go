// Package replace replaces files: whatever happens, a crash included, there is either
// the old file under the name or the new one, never a part of it.
//
// It refuses to keep two processes from replacing the same file at once: one of them
// may fail then, and the other's file is there. A File is for one goroutine.
package replace

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// File is a new file that is being written, mode 0600.
type File struct {
	*os.File
	target   string
	replaced bool
}

// New makes the file that is to replace the one at path, beside it. If path is a
// symbolic link, what it points to is replaced.
func New(path string) (*File, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	RemoveLeftovers(path)
	file, err := os.CreateTemp(filepath.Dir(path), prefix(path)+"*")
	if err != nil {
		return nil, fmt.Errorf("replace: %w", err)
	}
	return &File{File: file, target: path}, nil
}

// prefix is what the names of new files for path begin with; a number follows.
func prefix(path string) string { return "." + filepath.Base(path) + "." }

// RemoveLeftovers removes new files for path that processes which were killed have not
// put in its place. path is no symbolic link. What cannot be removed stays.
func RemoveLeftovers(path string) {
	dir := filepath.Dir(path)
	entries, _ := os.ReadDir(dir) // where this fails New does too, and says so
	for _, entry := range entries {
		number, found := strings.CutPrefix(entry.Name(), prefix(path))
		if _, err := strconv.ParseUint(number, 10, 64); found && err == nil {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// Commit puts what was written in the old file's place, and has the disk take it. The
// file stays open. If it fails before it has replaced the old file, that is as it was.
// If it has, only the disk may not have taken the new name yet.
func (f *File) Commit() (replaced bool, err error) {
	err = f.Sync()
	if err == nil {
		err = os.Rename(f.Name(), f.target)
	}
	if err != nil {
		return false, fmt.Errorf("replace: %w", err)
	}
	f.replaced = true
	return true, syncDir(filepath.Dir(f.target))
}

// Close closes the file. Unless it has replaced the old one, it removes it.
func (f *File) Close() error {
	if !f.replaced {
		os.Remove(f.Name())
	}
	return f.File.Close()
}

// syncDir has the disk take a change of names.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	return nil
}
