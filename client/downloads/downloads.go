// Package downloads is the directory that downloaded files are saved in. While a file
// is incomplete it has a temporary name that ends in ".part". When it is complete it
// is renamed to the name that was asked for; a file that has this name already is
// kept.
//
// The package refuses names that are paths or hidden, and never overwrites a file. It
// does not decide whether a file is complete: the caller of Commit does. A Dir may be
// used from any goroutine, a Part from one.
package downloads

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

const (
	maxNameSize = 255 // of a file, in octets
	partSuffix  = ".part"
	stemSize    = 200 // octets of the name that are kept in a part's name
	// maxCached is how much of a file may stay in the page cache, in octets. What
	// follows is written to the disk at once.
	maxCached = 16 << 20
)

// Why a download cannot begin or be completed.
var (
	ErrName = errors.New("downloads: invalid file name")
	ErrBusy = errors.New("downloads: this file is being downloaded already")
	ErrFull = errors.New("downloads: no space left")
)

// Dir is a directory for downloads.
type Dir struct {
	root *os.Root
	path string
}

// Open opens a directory that exists.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("downloads: cannot save files: %w: choose another -downloads", err)
	}
	return &Dir{root, path}, nil
}

// Close closes the directory. Parts stay open, but can no longer be committed.
func (d *Dir) Close() error { return d.root.Close() }

// Path is the path of a file with that name, to be shown to the user.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Check returns an error if no file of that name can be saved.
func Check(name string) error {
	switch {
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w %q: give a name without a path", ErrName, name)
	case name[0] == '.':
		return fmt.Errorf("%w %q: hidden files cannot be downloaded", ErrName, name)
	case len(name) > maxNameSize:
		return fmt.Errorf("%w: it has %d octets, at most %d are allowed", ErrName, len(name), maxNameSize)
	}
	return nil
}

// Part is a file that is being downloaded. Until Restart it holds the octets that an
// earlier try has left.
type Part struct {
	dir  *Dir
	file *os.File
	name string // the temporary name
	want string // the name when it is complete
	size int64
	// bufferedOnly means that the file system cannot write past the page cache.
	bufferedOnly bool
}

// Begin opens the part of a file that a user shares, and locks it. The error is
// ErrBusy while another caller has it.
func (d *Dir) Begin(user, name string) (*Part, error) {
	if err := Check(name); err != nil {
		return nil, err
	}
	p := &Part{dir: d, name: partName(user, name), want: name}
	f, err := d.root.OpenFile(p.name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, p.failed(err)
	}
	if err := p.lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// lock locks the file, and checks that it still has its name: whoever had it locked
// before may have renamed or removed it.
func (p *Part) lock(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: %s", ErrBusy, p.want)
	}
	info, err := f.Stat()
	if err != nil {
		return p.failed(err)
	}
	named, err := p.dir.root.Lstat(p.name)
	if err != nil || !os.SameFile(info, named) {
		return fmt.Errorf("%w: %s", ErrBusy, p.want)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("downloads: %s is in the way: it is not a regular file; remove it", p.dir.Path(p.name))
	}
	p.file, p.size = f, info.Size()
	return nil
}

// partName is a name for the part that depends on the user and the file, so that a
// later try finds it.
func partName(user, name string) string {
	sum := sha256.Sum256([]byte(user + "\x00" + norm.NFC.String(name)))
	return cut(name, stemSize) + "." + hex.EncodeToString(sum[:4]) + partSuffix
}

// cut cuts a name to at most n octets, between runes.
func cut(name string, n int) string {
	if len(name) <= n {
		return name
	}
	for n > 0 && name[n]&0xc0 == 0x80 {
		n--
	}
	return name[:n]
}

// Size is how many octets the part has.
func (p *Part) Size() int64 { return p.size }

// Reader reads the part from its beginning. Write still appends at the end.
func (p *Part) Reader() io.Reader { return io.NewSectionReader(p.file, 0, p.size) }

// Restart discards the part's octets.
func (p *Part) Restart() error {
	if err := p.file.Truncate(0); err != nil {
		return p.failed(err)
	}
	p.size = 0
	return nil
}

// Write appends.
func (p *Part) Write(b []byte) (int, error) {
	write := p.file.WriteAt
	if p.size >= maxCached {
		write = p.writeThrough
	}
	n, err := write(b, p.size)
	p.size += int64(n)
	if err != nil {
		return n, p.failed(err)
	}
	return n, nil
}

// Commit syncs the part to the disk and gives it its final name, which it returns:
// the one asked for, or one with a number if that exists.
func (p *Part) Commit() (name string, err error) {
	if err := p.file.Sync(); err != nil {
		return "", p.failed(err)
	}
	dir, err := p.dir.root.Open(".")
	if err != nil {
		return "", p.failed(err)
	}
	defer dir.Close()
	if name, err = p.rename(int(dir.Fd())); err != nil {
		return "", err
	}
	p.file.Close()
	if err := dir.Sync(); err != nil {
		return "", p.failed(err)
	}
	return name, nil
}

// Close closes the part. Its octets stay for a later try.
func (p *Part) Close() {
	if p.size == 0 {
		p.dir.root.Remove(p.name) // while it is locked: nobody else uses it
	}
	p.file.Close()
}

// Discard removes the part.
func (p *Part) Discard() {
	p.dir.root.Remove(p.name)
	p.file.Close()
}

// failed explains an error of the disk, and says what to do.
func (p *Part) failed(err error) error {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w in %s (%w): make room or choose another -downloads", ErrFull, p.dir.path, full)
		}
	}
	return fmt.Errorf("downloads: cannot save %s: %w", p.want, err)
}
