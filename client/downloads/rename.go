package downloads

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxNameTries bounds the search for an unused name.
const maxNameTries = 1000

// rename gives the part the first of its possible names that does not exist. dir is
// the directory's descriptor.
func (p *Part) rename(dir int) (string, error) {
	for n := range maxNameTries {
		name := numbered(p.want, n)
		err := unix.Renameat2(dir, p.name, dir, name, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			// Some file systems do not support it. A link does not overwrite either.
			if err = unix.Linkat(dir, p.name, dir, name, 0); err == nil {
				err = unix.Unlinkat(dir, p.name, 0)
			}
		}
		switch {
		case err == nil:
			return name, nil
		case !errors.Is(err, unix.EEXIST):
			return "", p.failed(err)
		}
	}
	return "", fmt.Errorf("downloads: %s and %d numbered names like it exist already: remove some", p.want, maxNameTries-1)
}

// numbered is a name with a number before its extension; 0 leaves it as it is.
func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	ext := filepath.Ext(name)
	if len(ext) > 16 || len(ext) == len(name) {
		ext = "" // a dot in a sentence, not an extension
	}
	tail := fmt.Sprintf(" (%d)%s", n, ext)
	return cut(strings.TrimSuffix(name, ext), maxNameSize-len(tail)) + tail
}
