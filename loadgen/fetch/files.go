package fetch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// fileName is the name of the shared file.
const fileName = "random octets"

var errDiffers = errors.New("fetch: the downloaded file differs from the shared one")

// files is the directory of one run.
type files struct {
	size          int64
	dir           string
	shared, saved string // directories in it
	sum           [sha256.Size]byte
	copied        string // the path of the last copy
}

// newFiles makes a directory, and checks that there is room for the file and a copy.
func newFiles(cfg *Config) (*files, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "chatbench-fetch-")
	if err != nil {
		return nil, fmt.Errorf("fetch: cannot make a directory: %w: choose another -dir", err)
	}
	f := &files{size: int64(cfg.Size), dir: dir, shared: filepath.Join(dir, "shared"), saved: filepath.Join(dir, "saved")}
	var room unix.Statfs_t
	if err = errors.Join(os.Mkdir(f.shared, 0o700), os.Mkdir(f.saved, 0o700), unix.Statfs(dir, &room)); err != nil {
		f.remove()
		return nil, fmt.Errorf("fetch: cannot make a directory: %w: choose another -dir", err)
	}
	if free := int64(room.Bavail) * int64(room.Bsize); free/2 < f.size {
		f.remove()
		return nil, fmt.Errorf("fetch: %s has only %d MB free, and twice %v are needed: choose another -dir or a smaller -size", filepath.Dir(dir), free/1e6, cfg.Size)
	}
	return f, nil
}

func (f *files) remove() { os.RemoveAll(f.dir) }

func (f *files) source() string { return filepath.Join(f.shared, fileName) }

// make writes the file and computes its checksum.
func (f *files) make(ctx context.Context) error {
	out, err := os.OpenFile(f.source(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer out.Close()
	var seed [32]byte
	rand.Read(seed[:])
	from := io.LimitReader(mathrand.NewChaCha8(seed), f.size)
	h, b := sha256.New(), make([]byte, block)
	for ctx.Err() == nil {
		n, err := from.Read(b)
		h.Write(b[:n])
		if _, err := out.Write(b[:n]); err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if errors.Is(err, io.EOF) {
			f.sum = [sha256.Size]byte(h.Sum(nil))
			return out.Sync() // so that it does not slow down a turn
		}
	}
	return ctx.Err()
}

// touch changes the file's time, so that the sharer has to hash it again.
func (f *files) touch() error {
	now := time.Now()
	if err := os.Chtimes(f.source(), now, now); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	return nil
}

// compare reads the copy and compares its checksum, past the page cache if possible.
func (f *files) compare(ctx context.Context) error {
	in, err := os.Open(f.copied)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer in.Close()
	h, b, flags := sha256.New(), make([]byte, block), unix.RWF_DONTCACHE
	for at := int64(0); ctx.Err() == nil; {
		n, err := unix.Preadv2(int(in.Fd()), [][]byte{b}, at, flags)
		switch {
		case flags != 0 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)):
			flags = 0
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("fetch: %w", err)
		case n == 0 && at == f.size && [sha256.Size]byte(h.Sum(nil)) == f.sum:
			return nil
		case n == 0:
			return errDiffers
		default:
			h.Write(b[:n])
			at += int64(n)
		}
	}
	return ctx.Err()
}

// clear removes the last copy, right before the next one, which then gets its page cache and
// does not wait until memory is freed.
func (f *files) clear() {
	if f.copied != "" {
		os.Remove(f.copied)
		f.copied = ""
	}
}
