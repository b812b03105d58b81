package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile writes a file completely or not at all: it writes a temporary file next to it and
// renames that.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".partial-")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("report: cannot write %s: %w", path, err)
	}
	return nil
}
