package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stagingDirectory is where results are written: a directory beside the final one. It gets
// the final name only when everything is in it.
type stagingDirectory struct {
	final, staging string
}

// newStagingDirectory makes the directory, so that an unwritable place is
// noticed before anything is measured.
func newStagingDirectory(final string) (*stagingDirectory, error) {
	if err := CheckAbsent(final); err != nil {
		return nil, err
	}
	parent := filepath.Dir(final)
	err := os.MkdirAll(parent, 0o755)
	if err == nil {
		var staging string
		if staging, err = os.MkdirTemp(parent, "."+filepath.Base(final)+".partial-"); err == nil {
			return &stagingDirectory{final, staging}, nil
		}
	}
	return nil, fmt.Errorf("bench: cannot write results to %s (%w); give another -o", parent, reason(err))
}

// CheckAbsent returns an error if path exists already.
func CheckAbsent(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("bench: %s exists already; give another -o", path)
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

// commit writes all files and gives the directory its final name.
func (s *stagingDirectory) commit(groups ...map[string][]byte) error {
	for _, files := range groups {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(s.staging, name), data, 0o644); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
		}
	}
	if err := os.Chmod(s.staging, 0o755); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := os.Rename(s.staging, s.final); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// discard removes the directory; after commit it does nothing.
func (s *stagingDirectory) discard() { os.RemoveAll(s.staging) }

// WriteDirectory writes files into a directory that must not exist yet: all of them or
// nothing.
func WriteDirectory(dir string, files map[string][]byte) error {
	s, err := newStagingDirectory(dir)
	if err != nil {
		return err
	}
	defer s.discard()
	return s.commit(files)
}
