// Package share is the directory whose files a client lets others download: the
// regular files in it, by name, and nothing else on the machine.
//
// It refuses paths, dotfiles, links, pipes, devices and directories, however the name
// is written, and never writes. A Dir may be used from any goroutine; its methods
// wait for nothing but the disk.
package share

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/text/unicode/norm"
)

const (
	// MaxListed and maxListOctets bound what List returns. The client that asked has
	// a bounded queue at the server, which a longer list would overflow.
	MaxListed     = 1000
	maxListOctets = 64 << 10
	// maxEntries is how many entries of a directory are read.
	maxEntries = 20_000
	// maxNameSize is the longest name that a directory can hold, in octets.
	maxNameSize = 255
)

// ErrNotFound means that the directory shares no such file. It is the same for every
// reason, so that others learn nothing about what is not shared.
var ErrNotFound = errors.New("share: no such file is shared")

// Dir is a shared directory.
type Dir struct{ root *os.Root }

// Open opens a directory to share.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("share: cannot share files: %w: choose another -share", err)
	}
	return &Dir{root}, nil
}

// Close closes the directory. Files that are open stay open.
func (d *Dir) Close() error { return d.root.Close() }

// List returns the names of the shared files, sorted, as the file system has them.
// left is how many more there are than it returns; those can be opened too.
func (d *Dir) List() (names []string, left int, err error) {
	all, err := d.names()
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(all)
	octets := 0
	for i, name := range all {
		if octets += len(name); i == MaxListed || octets > maxListOctets {
			return all[:i], len(all) - i, nil
		}
	}
	return all, 0, nil
}

// names reads the directory.
func (d *Dir) names() ([]string, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	defer dir.Close()
	var names []string
	for seen := 0; seen < maxEntries; {
		entries, err := dir.ReadDir(512)
		for _, e := range entries {
			if shareable(e.Name()) && e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
		seen += len(entries)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	return names, nil
}

// Open opens a file for reading. Names that are equal in NFC, which differ only in how
// accents and syllables are composed, are the same name; an exact match goes first.
func (d *Dir) Open(name string) (*os.File, fs.FileInfo, error) {
	if !shareable(name) {
		return nil, nil, ErrNotFound
	}
	f, info, err := d.open(name)
	if err == nil {
		return f, info, nil
	}
	names, err := d.names()
	if err != nil {
		return nil, nil, ErrNotFound
	}
	canonical := norm.NFC.String(name)
	for _, other := range names {
		if other != name && norm.NFC.String(other) == canonical {
			return d.open(other)
		}
	}
	return nil, nil, ErrNotFound
}

// open opens the regular file of exactly this name. An ordinary open would block on a
// pipe and could trigger a device, and the file may be replaced between the check and
// the open. So the file is checked before and after, and opened without blocking and
// without following links.
func (d *Dir) open(name string) (*os.File, fs.FileInfo, error) {
	before, err := d.root.Lstat(name)
	if err != nil || !before.Mode().IsRegular() {
		return nil, nil, ErrNotFound
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, ErrNotFound
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !os.SameFile(before, info) {
		f.Close()
		return nil, nil, ErrNotFound
	}
	return f, info, nil
}

// shareable says whether a file of that name may be shared: the name is no path, and
// is not hidden. Unfinished downloads are not shared either, in case they are saved in
// this directory.
func shareable(name string) bool {
	return name != "" && len(name) <= maxNameSize && name[0] != '.' &&
		!strings.ContainsAny(name, "/\x00") && !strings.HasSuffix(name, PartSuffix)
}

// PartSuffix ends the names of unfinished downloads.
const PartSuffix = ".part"
