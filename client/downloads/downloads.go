// Package downloads is the directory that fetched files are saved in. A file
// grows under a name of its own that ends in ".part", and gets the name that
// was asked for when it is whole; what has that name already stays as it is.
//
// It refuses names that are paths or hidden, to overwrite, and to decide
// whether a file is whole: that is for whoever calls Commit. A Dir may be used
// from any goroutine, a Part from one.
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
	longestName = 255 // of a file, in octets
	partSuffix  = ".part"
	stemInPart  = 200 // octets of the name that are kept in a part's name
	// cachedMost is how much of a file may stay in the system's cache for whoever
	// reads it next. The rest of a long one goes on to the disk at once.
	cachedMost = 16 << 20
)

// Why a download cannot begin or end.
var (
	ErrName = errors.New("downloads: not the name of a file")
	ErrBusy = errors.New("downloads: this file is being fetched already")
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
		return nil, fmt.Errorf("downloads: cannot save files: %w", err)
	}
	return &Dir{root, path}, nil
}

// Close closes the directory. Parts that are open stay so, but cannot be
// committed any more.
func (d *Dir) Close() error { return d.root.Close() }

// Path is where a file of that name is, for people.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Check says whether a file of that name could be saved.
func Check(name string) error {
	switch {
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: %q: name a file, without a path", ErrName, name)
	case name[0] == '.':
		return fmt.Errorf("%w: %q: hidden files are not fetched", ErrName, name)
	case len(name) > longestName:
		return fmt.Errorf("%w: it has %d octets, %d fit", ErrName, len(name), longestName)
	}
	return nil
}

// Part is a file on its way. It has the octets that an earlier try left behind
// until Restart.
type Part struct {
	dir  *Dir
	file *os.File
	name string // of the part
	want string // of the whole
	size int64
	// cached is that the file system has no other way to write.
	cached bool
}

// Begin opens the part of a file that user shares, for this caller alone.
func (d *Dir) Begin(user, name string) (*Part, error) {
	if err := Check(name); err != nil {
		return nil, err
	}
	p := &Part{dir: d, name: partName(user, name), want: name}
	f, err := d.root.OpenFile(p.name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, p.failed(err)
	}
	if err := p.own(f); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// own makes sure that nobody else writes the file, and that it is the one of
// its name: who had it before may have renamed or removed it.
func (p *Part) own(f *os.File) error {
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
		return fmt.Errorf("downloads: %s is in the way", p.dir.Path(p.name))
	}
	p.file, p.size = f, info.Size()
	return nil
}

// partName is the same for the same file of the same person, so that a later
// try finds it, and another for others.
func partName(user, name string) string {
	sum := sha256.Sum256([]byte(user + "\x00" + norm.NFC.String(name)))
	return cut(name, stemInPart) + "." + hex.EncodeToString(sum[:4]) + partSuffix
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

// Size is how many octets there are.
func (p *Part) Size() int64 { return p.size }

// Reader reads what there is from its beginning; what is written afterwards
// goes behind it.
func (p *Part) Reader() io.Reader { return io.NewSectionReader(p.file, 0, p.size) }

// Restart throws away what there is.
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
	if p.size >= cachedMost {
		write = p.writeThrough
	}
	n, err := write(b, p.size)
	p.size += int64(n)
	if err != nil {
		return n, p.failed(err)
	}
	return n, nil
}

// Commit makes the part the whole file, safe against a crash, and returns its
// name: the one asked for, or one with a number if that is taken.
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

// Close lets the part go; what there is stays for a later try.
func (p *Part) Close() {
	if p.size == 0 {
		p.dir.root.Remove(p.name) // while it is locked: nobody else's
	}
	p.file.Close()
}

// Discard removes the part.
func (p *Part) Discard() {
	p.dir.root.Remove(p.name)
	p.file.Close()
}

// failed says what a person can do about an error of the disk.
func (p *Part) failed(err error) error {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w in %s (%w): make room or choose another -downloads", ErrFull, p.dir.path, full)
		}
	}
	return fmt.Errorf("downloads: cannot save %s: %w", p.want, err)
}
