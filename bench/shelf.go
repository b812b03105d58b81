package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// shelf is where results go: into a directory beside the final one, which gets
// its name only when everything is in it.
type shelf struct {
	final, aside string
}

// openShelf makes the directory, so that a place that cannot be written to is
// known before anything is measured.
func openShelf(final string) (*shelf, error) {
	if err := Absent(final); err != nil {
		return nil, err
	}
	parent := filepath.Dir(final)
	err := os.MkdirAll(parent, 0o755)
	if err == nil {
		var aside string
		if aside, err = os.MkdirTemp(parent, "."+filepath.Base(final)+".partial-"); err == nil {
			return &shelf{final, aside}, nil
		}
	}
	return nil, fmt.Errorf("bench: cannot write results to %s (%w); give another -o", parent, reason(err))
}

// Absent refuses a place for results at which there is something already.
func Absent(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("bench: %s is there already; give another -o", path)
	}
	return nil
}

// reason is the cause of a file error without the path in it.
func reason(err error) error {
	if wrapped := new(fs.PathError); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// keep writes all files and gives the directory its name.
func (s *shelf) keep(groups ...map[string][]byte) error {
	for _, files := range groups {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(s.aside, name), data, 0o644); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
		}
	}
	if err := os.Chmod(s.aside, 0o755); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := os.Rename(s.aside, s.final); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// discard removes what was not kept; after keep it finds nothing.
func (s *shelf) discard() { os.RemoveAll(s.aside) }

// Keep writes files into a directory that must not be there yet: all of them or
// nothing.
func Keep(dir string, files map[string][]byte) error {
	s, err := openShelf(dir)
	if err != nil {
		return err
	}
	defer s.discard()
	return s.keep(files)
}
