package users

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"chatbench/core"
)

// Add adds a new user to the file, and makes the file if there is none.
func Add(path, name, password string) error {
	canonical, folded, err := core.CheckName(name)
	if err != nil {
		return fmt.Errorf("users: bad name %q: %w", name, err)
	}
	if strings.HasPrefix(canonical, "#") {
		return fmt.Errorf("users: bad name %q: a line that begins with # is a comment", name)
	}
	if err := checkPassword(password); err != nil {
		return err // before the file is made
	}
	return edit(path, os.O_CREATE, func(lines []string, at map[string]int) ([]string, error) {
		if _, taken := at[folded]; taken {
			return nil, ErrExists
		}
		hash, err := hashPassword(password)
		return append(lines, canonical+":"+hash), err
	})
}

// SetPassword changes a user's password.
func SetPassword(path, name, password string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	return edit(path, 0, func(lines []string, at map[string]int) ([]string, error) {
		i, err := find(at, name)
		if err != nil {
			return nil, err
		}
		hash, err := hashPassword(password)
		kept, _, _ := strings.Cut(lines[i], ":")
		lines[i] = kept + ":" + hash
		return lines, err
	})
}

// Delete removes a user from the file. If the user is logged in, that lasts until the
// server loads the file again.
func Delete(path, name string) error {
	return edit(path, 0, func(lines []string, at map[string]int) ([]string, error) {
		i, err := find(at, name)
		if err != nil {
			return nil, err
		}
		return slices.Delete(lines, i, i+1), nil
	})
}

func find(at map[string]int, name string) (int, error) {
	_, folded, err := core.CheckName(name)
	i, known := at[folded]
	if err != nil || !known {
		return 0, ErrUnknown
	}
	return i, nil
}

func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), newCost)
	if err != nil {
		return "", fmt.Errorf("users: %w", err)
	}
	return string(hash), nil
}

// edit changes the file's lines, and meanwhile locks the file against other processes.
func edit(path string, create int, change func(lines []string, at map[string]int) ([]string, error)) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // replace what a link points to, not the link
	}
	f, err := lock(path, create)
	if err != nil {
		return err
	}
	defer f.Close() // and unlock
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	_, at, err := parse(path, data)
	if err != nil {
		return err
	}
	lines, err := change(splitLines(data), at)
	if err != nil {
		return err
	}
	text := strings.Join(append(lines, ""), "\n")
	return replace(path, f, []byte(text))
}

// lock opens the file and locks it. If a writer has replaced the file while lock
// waited for it, lock tries again with the new one.
func lock(path string, create int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|create, 0o600)
		switch {
		case errors.Is(err, os.ErrNotExist) && create == 0:
			return nil, fmt.Errorf("users: there is no file %s: chatd user add makes it", path)
		case err != nil:
			return nil, fmt.Errorf("users: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("users: lock %s: %w", path, err)
		}
		locked, err := f.Stat()
		now, err2 := os.Stat(path)
		if err == nil && err2 == nil && os.SameFile(locked, now) {
			return f, nil
		}
		f.Close()
	}
}

// replace replaces the file by one with data, and with the old one's mode and owner.
// It is atomic: after a crash there is either the old file or the new one.
func replace(path string, old *os.File, data []byte) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("users: %s is unchanged: %w", path, err)
	}
	defer temp.Close()
	err = fill(temp, old, data)
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
		return fmt.Errorf("users: %s is unchanged: %w", path, err)
	}
	return syncDir(dir)
}

// fill writes the data, mode and owner of the new file, and syncs it to the disk.
func fill(temp, old *os.File, data []byte) error {
	was, err := old.Stat()
	if err != nil {
		return err
	}
	is, err := temp.Stat()
	if err != nil {
		return err
	}
	a, b := was.Sys().(*syscall.Stat_t), is.Sys().(*syscall.Stat_t)
	if a.Uid != b.Uid || a.Gid != b.Gid {
		if err := temp.Chown(int(a.Uid), int(a.Gid)); err != nil {
			return err
		}
	}
	if err := temp.Chmod(was.Mode().Perm()); err != nil {
		return err
	}
	if _, err := temp.Write(data); err != nil {
		return err
	}
	return temp.Sync()
}

// syncDir syncs a directory to the disk, so that a rename in it survives a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	return nil
}
