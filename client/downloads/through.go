package downloads

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writeThrough writes past the page cache: the disk writes while the next octets are
// received, Commit has little left to sync, and a file of gigabytes does not evict
// what others have cached. Where this is not supported it is an ordinary write.
func (p *Part) writeThrough(b []byte, at int64) (n int, err error) {
	for n < len(b) && err == nil && !p.bufferedOnly {
		var k int
		k, err = unix.Pwritev2(int(p.file.Fd()), [][]byte{b[n:]}, at+int64(n), unix.RWF_DONTCACHE)
		switch {
		case errors.Is(err, unix.EINTR):
			err = nil
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
			p.bufferedOnly, err = true, nil
		default:
			n += max(k, 0)
		}
	}
	switch {
	case err != nil:
		return n, &os.PathError{Op: "write", Path: p.name, Err: err}
	case n < len(b):
		k, err := p.file.WriteAt(b[n:], at+int64(n))
		return n + k, err
	}
	return n, nil
}
