// Package replace replaces files atomically: whatever happens, even a crash, the name has
// either the old file or the new one, never a part of it.
//
// It does not prevent two processes from replacing the same file at once: one of them may fail
// then, and the file is the other's. A File belongs to one goroutine.
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

// New makes a new file for path, in the same directory. If path is a symbolic link, the file
// that it points to will be replaced.
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

// prefix begins the names of new files for path; a number follows.
func prefix(path string) string { return "." + filepath.Base(path) + "." }

// RemoveLeftovers removes new files for path that killed processes have left behind. path must
// not be a symbolic link. Errors are ignored.
func RemoveLeftovers(path string) {
	dir := filepath.Dir(path)
	entries, _ := os.ReadDir(dir) // if this fails New fails too, with an error
	for _, entry := range entries {
		number, found := strings.CutPrefix(entry.Name(), prefix(path))
		if _, err := strconv.ParseUint(number, 10, 64); found && err == nil {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// Commit syncs the new file to the disk and renames it to path. The file stays open. If Commit
// fails and replaced is false, the old file is unchanged. If it fails and replaced is true, only
// the sync of the directory has failed.
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

// Close closes the file, and removes it unless it has replaced the old one.
func (f *File) Close() error {
	if !f.replaced {
		os.Remove(f.Name())
	}
	return f.File.Close()
}

// syncDir syncs a directory to the disk.
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
